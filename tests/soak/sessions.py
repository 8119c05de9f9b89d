"""Several runs and several users on one store, and what is lost in mid-run: `python -m tests.soak.sessions`.

The runs at once are of all claims at tiny scale, as is the run alone that they are held against.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.claim_files import write_claim
from tests.conftest import LOADS_ILR
from tests.second_user import NOBODY, SECOND_USER, no_second_user
from tests.soak._whole import IN_PROCESSES, undisturbed
from tests.soak.kills import ENDED, ROOT, Run, claims_of, measured_alike

OF_THE_TOY = "gradient_descent_is_not_gradient_flow_toy"
"""A claim that is the same however its replicas are computed: what was measured may go with the store."""

GREEDY = """
import multiprocessing, os, signal
import numpy as np
from ilr.serialization import record

@record
class Greedy:
    def values(self, steps):
        if multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.full(steps, 0.1)

"""
"""A schedule for which no worker has the memory."""


def sessions(folder: Path, count: int, arguments: Sequence[str]) -> int:
    """Several runs of the claims at once on one store, held against one alone; gives what is not as it must be."""
    store = folder / "shared-store"
    # Another file under the same name: it was trained twice. Both are seen, as training takes longer than looking.
    seen: dict[Path, set[int]] = {}
    with undisturbed(arguments) as alone:
        measured_alike(alone, store)
        places = [folder / f"session-{number}" for number in range(count)]
        running = [Run(place, [*arguments, *IN_PROCESSES, f"--store={store}"]) for place in places]
        while any(one.process.poll() is None for one in running):
            for path in store.glob("*/*.safetensors"):
                with suppress(FileNotFoundError):
                    seen.setdefault(path, set()).add(path.stat().st_ino)
            time.sleep(0.1)
        expected = claims_of(alone / "report")
        others = sum(claims_of(place / "report") != expected for place in places)
    statuses = {one.process.returncode for one in running}
    twice = sum(len(numbers) > 1 for numbers in seen.values())
    left = [path for path in store.rglob("*") if path.is_file() and path.suffix not in (".safetensors", ".json")]
    print(
        f"{count} sessions at once on one store, {len(expected)} claims, {len(seen)} recordings: "
        f"{twice} trained twice, {others} reports that differ from that of a run alone, {len(left)} files left, "
        f"exit statuses {sorted(statuses)}",
        flush=True,
    )
    return twice + others + len(left) + (not statuses <= {*ENDED})


def deleted(folder: Path, times: int) -> int:
    """A store that is deleted while a run trains into it; gives what is not as it must be."""
    arguments = ["-k", OF_THE_TOY, *IN_PROCESSES]
    with undisturbed(arguments) as alone:
        place = folder / "deleted"
        measured_alike(alone, place / "store")
        run, done = Run(place, arguments), 0
        while not run.ended_within(2.0):
            if done < times and run.trains():
                shutil.rmtree(place / "store", ignore_errors=True)
                done += 1
        others = claims_of(place / "report") != claims_of(alone / "report")
    print(
        f"a store deleted {done} times in mid-run: exit status {run.process.returncode}, "
        f"{int(others)} claims that differ from an undisturbed run's",
        flush=True,
    )
    return others + (run.process.returncode not in ENDED) + (done == 0)


def out_of_memory(folder: Path) -> int:
    """Workers that are ended at one claim's job, as the system ends what takes too much memory; gives what is wrong."""
    place = folder / "out-of-memory"
    _write_claims(place / "claims")
    greedy = write_claim(place / "claims", "greedy")
    text = greedy.read_text().replace("CLAIM =", f"{GREEDY}\nCLAIM =").replace("Constant(0.1)", "Greedy()")
    greedy.write_text(text)
    options = ["--workers=2", "-p", "no:cacheprovider", f"--store={place / 'store'}", f"--report={place / 'report'}"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "claims", *options],
        cwd=place, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    verdicts = {name: claim["verdict"] for name, claim in claims_of(place / "report").items()}
    lines = {line.strip() for line in ended.stdout.splitlines() if "killed by SIGKILL" in line}
    print(
        f"workers killed for want of memory at every try of one claim's job: exit status {ended.returncode}, "
        f"verdicts {verdicts}: {min(lines, key=len, default='')}",
        flush=True,
    )
    return int(verdicts != {"reproduced": "REPRODUCED", "greedy": "ERROR"} or not lines or ended.returncode != 1)


def users(folder: Path) -> int:
    """A second user reads what the first has trained, and cannot write it; gives what is not as it must be."""
    if why := no_second_user():
        print(f"two users: not tried: {why}")
        return 0
    folder.chmod(0o755)
    claims, store = folder / "claims", folder / "first-users-store"
    _write_claims(claims)
    mine = folder / "second-user"
    mine.mkdir()
    os.chown(mine, NOBODY, NOBODY)

    def run(name: str, *options: str, second: bool = False, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
        places = [f"--store={store}", f"--report={mine / name}"]
        command = [sys.executable, "-m", "pytest", str(claims), "--engine=in-process", "-p", "no:cacheprovider"]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(mine)}
        return subprocess.run(
            [*(SECOND_USER if second else ()), *command, *places, *options],
            cwd=mine,
            env=environment,
            capture_output=True,
            text=True,
            umask=umask,
        )

    run("first")
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    statuses = [run("second", "--no-train", second=True).returncode, run("third", second=True).returncode]
    refused = run("fourth", "--seed=1", second=True)
    lines = [line for line in refused.stderr.splitlines() if line.strip()]
    touched = before != {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    # A folder that both may write: one goes on where the other stopped.
    subprocess.run(["chmod", "-R", "a+rwX", str(store)], check=True)
    statuses.append(run("fifth", "--seed=1", second=True, umask=0o000).returncode)
    statuses.append(run("sixth", "--seed=1", "--no-train").returncode)
    print(
        f"two users: exit statuses {statuses} where the second reads, may write, and is read; where he would have to "
        f"write and may not, {len(lines)} line and status {refused.returncode}: {lines[-1] if lines else ''}"
    )
    return int(any(statuses)) + (len(lines) != 1) + touched


def _write_claims(folder: Path) -> None:
    write_claim(folder, "reproduced")
    (folder / "conftest.py").write_text(LOADS_ILR)


def main() -> int:
    """Prints the figures; the exit status is 0 where they are as they must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--deletions", type=int, default=2)
    parser.add_argument("pytest", nargs="*", help="arguments of pytest for the sessions at once, behind --")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ilr-soak-"))
    try:
        wrong = users(folder) + out_of_memory(folder) + deleted(folder, given.deletions)
        wrong += sessions(folder, given.sessions, given.pytest)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
