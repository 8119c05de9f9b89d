"""Claims on a Slurm of one node whose tasks and whose node are killed: `python -m tests.soak.slurm`.

However it is disturbed, the run must find what a run in worker processes of this machine finds, to the last bit.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ilr.lab.checkpoints import FOLDER, UNREADABLE, About
from tests.slurm_cluster import Cluster, cluster, why_not
from tests.soak._whole import undisturbed
from tests.soak.kills import ENDED, Run, claims_of, differences, leftovers, measured_alike

UNDISTURBED = "undisturbed"

LONG = ("error_bump_after_drop", "gradient_descent_is_not_gradient_flow_toy")
"""Claims of nets and of the toy; the jobs of the first train for long enough to keep snapshots on any machine. The
disturbed runs are of them; the undisturbed one is of all."""

WORKERS = "--workers=2"
"""Of both engines: it decides which slices train together."""


class Disturbed:
    """A run on the cluster, with what may happen to it.

    Args:
        started: the cluster.
        folder: of the run's store, report and output.
        arguments: of pytest.
    """

    def __init__(self, started: Cluster, folder: Path, arguments: Sequence[str]) -> None:
        self.started, self.folder = started, folder
        self.hit = 0
        """Tasks that what happened has happened to."""
        self.run = Run(folder, [*arguments, "--engine=slurm", WORKERS], started.environment)

    def tasks(self, states: str) -> list[str]:
        """Those in some states."""
        return self.started.ask("squeue", "--noheader", "--array", "--format=%i", f"--states={states}").split()

    def cancel_one(self) -> None:
        """A task that runs is cancelled; the run submits it once more."""
        task = self.tasks("R")[0]
        self.started.ask("scancel", task)
        _until(lambda: task in self.tasks("CA"))
        self.hit += 1

    def kill_the_daemon(self) -> None:
        """The node's daemon dies and comes back; the tasks train on."""
        running = self.tasks("R")
        self.started.kill_node(with_tasks=False)
        time.sleep(3)
        self.started.start_node()
        time.sleep(3)
        # Some may have come to their end meanwhile; none has failed or waits to be begun again.
        self.hit += len(set(running).intersection(self.tasks("R,CG,CD")))

    def kill_the_node(self) -> None:
        """The node dies with all its tasks and comes back; Slurm puts them in the queue again."""
        running = self.tasks("R")
        self.started.kill_node(with_tasks=True)
        time.sleep(3)
        self.started.start_node()
        # Slurm takes them for running until the node says that it does not know them.
        _until(lambda: set(running).isdisjoint(self.tasks("R,CG")))
        for task in set(running).intersection(self.tasks("PD")):
            self.hit += 1
            # It would be begun again in two minutes.
            self.started.ask("scontrol", "update", f"JobId={task}", "StartTime=now")

    def trains(self) -> bool:
        """Whether a task has kept how far it is: what is killed from then on costs work."""
        for path in (self.folder / "store" / FOLDER).glob("*.checkpoint"):
            try:
                if About(path).arrays:
                    return True
            except UNREADABLE:  # being replaced, or gone since
                continue
        return False


FATES: dict[str, Callable[[Disturbed], None]] = {
    "a task is cancelled": Disturbed.cancel_one,
    "slurmd is killed and restarted": Disturbed.kill_the_daemon,
    "the node dies with its tasks and comes back": Disturbed.kill_the_node,
}


def main() -> int:
    """Prints what was found otherwise for each thing that happened; the exit status is 0 where nothing was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, behind --; which claims, for example")
    given = parser.parse_args()
    if reason := why_not():
        print(f"not tried: {reason}")
        return 0
    chosen = given.pytest or ["-k", " or ".join(LONG)]
    root = Path(tempfile.mkdtemp(prefix="ilr-soak-"))
    wrong = 0
    try:
        (root / "cluster").mkdir()
        with cluster(root / "cluster") as started:
            with undisturbed(given.pytest) as here:
                wrong += _disturb(UNDISTURBED, None, started, here, root / "there", given.pytest)
            with undisturbed(chosen) as here:
                for number, (name, fate) in enumerate(FATES.items()):
                    wrong += _disturb(name, fate, started, here, root / f"there-{number}", chosen)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return int(wrong > 0)


def _disturb(
    name: str,
    fate: Callable[[Disturbed], None] | None,
    started: Cluster,
    here: Path,
    there: Path,
    chosen: Sequence[str],
) -> int:
    """Runs the claims on the cluster, and lets something happen to them; gives what is not as it must be."""
    measured_alike(here, there / "store")
    began = time.monotonic()
    disturbed = Disturbed(started, there, chosen)
    happened = False
    try:
        while not disturbed.run.ended_within(0.5):
            if fate and not happened and disturbed.trains():
                fate(disturbed)
                happened = True
    finally:
        for process in disturbed.run.members():
            disturbed.run.kill(process)
    status = disturbed.run.process.returncode
    if status not in ENDED:
        print(f"Slurm, {name}: exit status {status}\n{(there / 'output.txt').read_text()[-3000:]}")
        return 1
    found, left = differences(here, there), leftovers(there)
    tasks = disturbed.tasks("R,PD,CG")
    print(
        f"Slurm, {len(claims_of(there / 'report'))} claims, {name}: tasks hit: {disturbed.hit}; "
        f"differences from worker processes: {', '.join(found) or 'none'}; files left: {', '.join(left) or 'none'}; "
        f"tasks left: {len(tasks)}; {time.monotonic() - began:.0f} s",
        flush=True,
    )
    return len(found) + len(left) + len(tasks) + (fate is not None and not disturbed.hit)


def _until(happens: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
