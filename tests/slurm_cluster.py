"""A Slurm of one node, on this machine, from Debian's packages, for as long as tests need it."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel")
"""Packages munge, slurmctld, slurmd and slurm-client."""

CONFIGURATION = """
ClusterName=ilr
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
# Nothing that needs control groups, which containers rarely have.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=1
SchedulerParameters=sched_interval=1,bf_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """Why no cluster can be started here, if none can."""
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        return f"no Slurm: {', '.join(missing)} not installed (apt-get install munge slurmctld slurmd slurm-client)"
    if os.geteuid():
        return "no Slurm: only root can start its daemons"
    if find_spec("submitit") is None:
        return "no Slurm: submitit is not installed (pip install ilr[slurm])"
    return None


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Starts a cluster, whose files lie in a folder, and ends it; gives the environment in which it is the cluster."""
    folder.chmod(0o700)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    configuration = folder / "slurm.conf"
    ports = _free_ports()
    configuration.write_text(
        CONFIGURATION.format(
            host=socket.gethostname().partition(".")[0],
            folder=folder,
            controller_port=ports[0],
            node_port=ports[1],
            cores=len(os.sched_getaffinity(0)),
        )
    )
    environment = {"SLURM_CONF": str(configuration)}
    files = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    places = [f"--{name}={folder}/munge.{ending}" for name, ending in files.items()]
    munged = ["munged", "--foreground", "--force", f"--key-file={key}", *places]
    with ExitStack() as stack:
        for command in (munged, ["slurmctld", "-D"], ["slurmd", "-D"]):
            log = stack.enter_context((folder / f"{command[0]}.out").open("w"))
            process = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log)
            stack.callback(_end, process)
        _wait_until_idle(environment)
        yield environment


def _wait_until_idle(environment: dict[str, str], seconds: float = 60.0) -> None:
    """Waits until the node can take a job."""
    end = time.monotonic() + seconds
    answer = ""
    while "idle" not in answer:
        assert time.monotonic() < end, f"Slurm does not start: {answer}"
        time.sleep(0.2)
        found = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        answer = found.stdout + found.stderr


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports() -> list[int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return [one.getsockname()[1], other.getsockname()[1]]
