"""A run of the claims that is killed again and again, and what is left of it: `python -m tests.soak.kills`.

The run, or one of its workers, gets SIGKILL at random moments, and is begun again, until there were so many kills. Each
time it comes to its end, that is compared with the end of a run that nobody disturbed. By default it is a run of claims
that have every kind of job: of the toy and of nets, long and short, in several looks; all claims would take hours.
Then it is ended a few times as a user would end it, by Ctrl-C or SIGTERM.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors.numpy import load_file

from ilr.lab.checkpoints import FOLDER, UNREADABLE, About
from ilr.lab.store import leases
from ilr.report.files import EVIDENCE, MADE, read_evidence

ROOT = Path(__file__).parents[2]
EVERY_KIND = (
    *("gradient_descent_is_not_gradient_flow_toy", "very_deep_network", "mixing_time", "norm_recurrence"),
    "error_bump_after_drop",
)
"""Claims of the toy, of a very deep net, of large batches and of many short jobs, in several looks; and of jobs that
train for long enough to keep snapshots on any machine."""

LONGEST = 12.0
"""Seconds until a kill, at most. What was trained is kept, so the moments of all lives cover the whole run; a longer
wait would only have fewer of them in the same time."""

ENDED = (0, 1)
"""Statuses of a run that came to its end: all claims reproduced, or not all."""


@dataclass
class Found:
    """What is printed."""

    kills: int = 0
    of_workers: int = 0
    in_training: int = 0
    """While some job was."""
    claims: int = 0
    """That the run judges."""
    runs: int = 0
    """That came to their end."""
    differences: list[str] = field(default_factory=list)
    orphans: int = 0
    leftovers: list[str] = field(default_factory=list)
    lost: float = 0.0
    """Most seconds since a job's last snapshot, when a run was killed."""

    def line(self) -> str:
        """In words."""
        return (
            f"{self.kills} SIGKILLs ({self.of_workers} of a worker, {self.in_training} while a job trained) of a run "
            f"of {self.claims} of {len([*ROOT.glob('claims/test_*.py')])} claims at tiny, which came to its end "
            f"{self.runs} times: evidence and recordings that differ from an undisturbed run's: "
            f"{', '.join(self.differences) or 'none'}; most training lost by a kill: {self.lost:.0f} s; "
            f"processes left: {self.orphans}; files left: {', '.join(self.leftovers) or 'none'}"
        )

    @property
    def right(self) -> bool:
        """Whether everything is as it must be."""
        return not (self.differences or self.orphans or self.leftovers or self.lost > 60)


class Run:
    """One life of the run: pytest, as a user would start it, in a session of its own.

    Args:
        folder: of its store, its report and its output.
        arguments: of pytest.
        environment: beyond that of this process.
    """

    def __init__(self, folder: Path, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "pytest", "claims", "--scale=tiny", "-q", "-p", "no:cacheprovider"]
        places = [f"--store={folder / 'store'}", f"--report={folder / 'report'}"]
        self.folder, self.began = folder, time.time()
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "output.txt").open("a") as output:
            self.process = subprocess.Popen(
                [*command, *places, *arguments],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {}),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def members(self) -> list[int]:
        """Its processes that live, itself first."""
        listed = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
        rows = [line.split() for line in listed.splitlines()]
        return [int(pid) for pid, group, state in rows if int(group) == self.process.pid and state[0] != "Z"]

    def workers(self) -> list[int]:
        """Its worker processes."""
        listed = subprocess.run(["ps", "-eo", "pid=,pgid=,args="], capture_output=True, text=True, check=True).stdout
        rows = [line.split(maxsplit=2) for line in listed.splitlines()]
        return [int(pid) for pid, group, args in rows if int(group) == self.process.pid and "spawn_main" in args]

    def ended_within(self, seconds: float) -> bool:
        """Waits, but not longer than that."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def trains(self) -> bool:
        """Whether some job of it has a lease."""
        written = []
        for path in (self.folder / "store" / leases.FOLDER).glob("*"):
            with suppress(FileNotFoundError):  # given back since
                written.append(path.stat().st_mtime)
        return max(written, default=0.0) > self.began

    def kill(self, pid: int) -> None:
        """By SIGKILL, if it is still there."""
        if pid in self.members():
            os.kill(pid, signal.SIGKILL)


def torment(kills: int, longest: float, seed: int, arguments: Sequence[str], folder: Path) -> Found:
    """Kills runs until there were so many kills, and lets the last one end.

    Args:
        kills: of runs and of workers.
        longest: seconds until a kill, at most, of which each waits a random share.
        seed: of these.
        arguments: of pytest, which select claims for example.
        folder: for everything.
    """
    undisturbed, disturbed = folder / "undisturbed", folder / "disturbed"
    whole = Run(undisturbed, arguments)
    assert whole.process.wait() in ENDED, (undisturbed / "output.txt").read_text()
    found, chance = Found(claims=len(claims_of(undisturbed / "report"))), random.Random(seed)
    while True:
        if not (disturbed / "store").exists():
            measured_alike(undisturbed, disturbed / "store")
        run = Run(disturbed, arguments)
        # Half of the moments are anywhere; half, in training, where a kill costs most.
        if chance.random() < 0.5:
            while not run.trains() and not run.ended_within(0.1):
                pass
        # A job at most once in a life: one whose worker died twice is halved, and halves round otherwise. What a dead
        # worker has left its successor takes, so those that were there with the first have other jobs.
        first: set[int] | None = None
        for victim in chance.choice((["run"], ["worker", "run"], ["worker", "worker", "run"])):
            if found.kills == kills or run.ended_within(chance.uniform(0, longest)):
                break
            if victim == "run":
                _kill(run, [run.process.pid], chance, found, disturbed / "store")
            else:
                living = set(run.workers())
                first = living if first is None else first & living
                found.of_workers += (killed := _kill(run, sorted(first), chance, found, disturbed / "store")) > 0
                first.discard(killed)
        status = run.process.wait()
        found.orphans += _left_of(run)
        if status == -signal.SIGKILL:
            continue
        if status not in ENDED:
            # Its folder goes with this process.
            found.differences.append(f"exit status {status}: {(disturbed / 'output.txt').read_text()[-500:]}")
            return found
        found.runs += 1
        found.differences += differences(undisturbed, disturbed)
        found.leftovers += leftovers(disturbed)
        if found.kills == kills:
            return found
        shutil.rmtree(disturbed / "store")


def measured_alike(undisturbed_run: Path, store: Path) -> None:
    """Gives a store what was measured in another: how replicas are computed fastest, which would round otherwise."""
    measured = undisturbed_run / "store" / "measured"
    # The toy alone has nothing to measure.
    if measured.is_dir():
        shutil.copytree(measured, store / "measured")


def _kill(run: Run, victims: Sequence[int], chance: random.Random, found: Found, store: Path) -> int:
    """Kills one of some processes of a run, if there are any; gives which, or 0."""
    if not victims:
        return 0
    victim = chance.choice(victims)
    found.lost = max(found.lost, _unkept(store, run.began))
    found.in_training += run.trains()
    run.kill(victim)
    found.kills += 1
    return victim


def _unkept(store: Path, began: float) -> float:
    """Most seconds that a job in training has trained since its last snapshot, or since it was begun in this life."""
    longest = 0.0
    for path in (store / FOLDER).glob("*.checkpoint"):
        try:
            about = About(path)
            since = leases._file(store, about.places[0]).stat().st_mtime
            if about.arrays:
                since = max(since, path.stat().st_mtime)
        except UNREADABLE:  # not in training, being replaced, or gone since
            continue
        # A lease that a life before has left holds nothing.
        if since > began:
            longest = max(longest, time.time() - since)
    return longest


def _left_of(run: Run) -> int:
    """Processes of a run that live half a minute after it: some were just starting, and notice when they have."""
    for _ in range(300):
        if not run.members():
            return 0
        time.sleep(0.1)
    return len(run.members())


def differences(undisturbed: Path, disturbed: Path) -> list[str]:
    """What a run found otherwise than the undisturbed one, and what it recorded otherwise."""
    claims = [claims_of(folder / "report") for folder in (undisturbed, disturbed)]
    differences = [name for name in claims[0].keys() | claims[1].keys() if claims[0].get(name) != claims[1].get(name)]
    recordings = [_recordings(folder / "store") for folder in (undisturbed, disturbed)]
    for name in recordings[0].keys() | recordings[1].keys():
        one, other = (of.get(name) for of in recordings)
        if one is None or other is None or not _same(load_file(one), load_file(other)):
            differences.append(name)
    return sorted(differences)


def claims_of(report: Path) -> dict[str, Any]:
    """A report's claims by their ids, with all that was found, but for the time that it took to find it."""
    return {
        claim.id: msgspec.to_builtins(msgspec.structs.replace(claim, seconds=0.0))
        for claim in read_evidence(report).claims
    }


def _recordings(store: Path) -> dict[str, Path]:
    return {str(path.relative_to(store)): path for path in store.rglob("*.safetensors")}


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two recordings are the same to the last bit."""
    return one.keys() == other.keys() and all(
        np.array_equal(one[name].view(np.uint8), other[name].view(np.uint8)) for name in one
    )


def leftovers(folder: Path) -> list[str]:
    """Files of a store that are no recordings and nothing measured, and those of a report that belong to none."""
    store, report = folder / "store", folder / "report"
    kept = [path.relative_to(store) for path in store.rglob("*") if path.is_file()]
    left = [str(path) for path in kept if path.suffix != ".safetensors" and path.parts[0] != "measured"]
    return sorted(left + [path.name for path in report.iterdir() if path.name not in (EVIDENCE, *MADE)])


def interruptions(count: int, longest: float, chance: random.Random, arguments: Sequence[str], folder: Path) -> int:
    """Ends runs in training by Ctrl-C and SIGTERM, and prints how long they took; gives what is not as it must be."""
    taken: list[float] = []
    silent = left = 0
    place = folder / "interrupted"
    for number in range(count):
        run = Run(place, arguments)
        while not run.trains() and not run.ended_within(0.1):
            pass
        if run.ended_within(chance.uniform(0, longest)):
            shutil.rmtree(place)
            continue
        output = place / "output.txt"
        said_before = output.stat().st_size
        began = time.monotonic()
        run.process.send_signal((signal.SIGINT, signal.SIGTERM)[number % 2])
        run.process.wait()
        if (place / "report" / EVIDENCE).exists():
            # It had just come to its end, and has nothing to say of going on.
            shutil.rmtree(place)
            continue
        taken.append(time.monotonic() - began)
        silent += "The same command" not in output.read_text()[said_before:]
        left += _left_of(run)
    print(
        f"{len(taken)} runs in training ended by Ctrl-C or SIGTERM: the slowest took {max(taken, default=0.0):.1f} s; "
        f"{silent} did not say how to go on; processes left: {left}",
        flush=True,
    )
    return silent + left + (max(taken, default=0.0) > 2)


def main() -> int:
    """Torments the claims at tiny scale and prints what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--interruptions", type=int, default=6)
    parser.add_argument("--longest", type=float, default=LONGEST, help="seconds until a kill, at most")
    parser.add_argument("--chance", type=int, default=0, help="seed of the moments")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, behind --; which claims, for example")
    given = parser.parse_args()
    # A shell has what it starts in the background ignore Ctrl-C, and so would the runs.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="ilr-soak-") as name:
        folder, chosen = Path(name), given.pytest or ["-k", " or ".join(EVERY_KIND)]
        found = torment(given.kills, given.longest, given.chance, chosen, folder)
        print(found.line(), flush=True)
        wrong = interruptions(given.interruptions, given.longest, random.Random(given.chance), chosen, folder)
    return int(not found.right or wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
