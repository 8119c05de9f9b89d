"""A Slurm of one node, on this machine, from Debian's packages, for as long as tests need it."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
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
# A task that its node does not know is put in the queue again, however short it ran.
BatchStartTimeout=1
MessageTimeout=3
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


class Cluster:
    """One that runs.

    Args:
        folder: of all its files.
        environment: in which it is the cluster.
        stack: ends what it starts.
    """

    def __init__(self, folder: Path, environment: dict[str, str], stack: ExitStack) -> None:
        self.folder, self.environment = folder, environment
        self._stack = stack
        self._node: subprocess.Popen[bytes] | None = None

    def start(self, *command: str) -> "subprocess.Popen[bytes]":
        """Starts a daemon, until the end of the cluster."""
        log = self._stack.enter_context((self.folder / f"{command[0]}.out").open("a"))
        process = subprocess.Popen(command, env=os.environ | self.environment, stdout=log, stderr=log)
        self._stack.callback(_end, process)
        return process

    def start_node(self) -> None:
        """Starts the only node, or starts it again."""
        self._node = self.start("slurmd", "-D")

    def kill_node(self, *, with_tasks: bool) -> None:
        """Kills the node's daemon; its tasks live on, unless they are to die as they would with the machine."""
        assert self._node is not None
        doomed = self._processes_of_tasks() if with_tasks else []
        self._node.kill()
        self._node.wait()
        for process in doomed:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def ask(self, *command: str) -> str:
        """What a program of the cluster says."""
        given = os.environ | self.environment
        ended = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
        return ended.stdout + ended.stderr

    def _processes_of_tasks(self) -> list[int]:
        """First those that watch over the tasks, which would tell of their end."""
        listed = self.ask("scontrol", "listpids").splitlines()[1:]
        of_tasks = [int(line.split()[0]) for line in listed if line.split()[0].isdecimal()]
        rows = [line.split() for line in self.ask("ps", "-eo", "pid=,ppid=,comm=").splitlines()]
        parents = {int(parent) for pid, parent, *_ in rows if int(pid) in of_tasks}
        watching = {int(pid) for pid, _, name, *_ in rows if int(pid) in parents and name.startswith("slurmstepd")}
        return [*watching, *(pid for pid in of_tasks if pid not in watching)]


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Starts a cluster, whose files lie in a folder, and ends it."""
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
    files = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    places = [f"--{name}={folder}/munge.{ending}" for name, ending in files.items()]
    with ExitStack() as stack:
        started = Cluster(folder, {"SLURM_CONF": str(configuration)}, stack)
        started.start("munged", "--foreground", "--force", f"--key-file={key}", *places)
        started.start("slurmctld", "-D")
        started.start_node()
        # Before the daemons end: what still runs would run on without them.
        stack.callback(started.kill_node, with_tasks=True)
        _wait_until_idle(started)
        yield started


def _wait_until_idle(started: Cluster, seconds: float = 60.0) -> None:
    """Waits until the node can take a job."""
    end = time.monotonic() + seconds
    answer = ""
    while "idle" not in answer:
        assert time.monotonic() < end, f"Slurm does not start: {answer}"
        time.sleep(0.2)
        answer = started.ask("sinfo", "--noheader", "--format=%T")


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
