"""A store that is damaged, exchanged and full: `python -m tests.soak.store`.

Whatever has become of a file, nothing but what was written under its name may ever be used, and no run may end in
anything but a verdict or one line.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import safetensors.numpy

from ilr.experiments.architectures import MLP
from ilr.experiments.experiment import Data, Experiment, Observe
from ilr.experiments.norms import BatchNorm
from ilr.experiments.recording import Recording
from ilr.lab.housekeeping import verify
from ilr.lab.store import Key, Store
from tests.stores import TOY, lab_at, recordings, toys

ROOT = Path(__file__).parents[2]


class Damaged:
    """A small store that is damaged again and again, and mended after each time.

    Args:
        root: of the store, which is made.
        chance: of the damages.
    """

    def __init__(self, root: Path, chance: random.Random) -> None:
        net = replace(TOY, net=MLP((8, 8)), norm=BatchNorm(), data=Data("digits", train=64, test=32), batch_size=16)
        observe = (Observe("weights", (3,)), Observe("test_predictions", (3,)), Observe("test_accuracy", (0, 3)))
        self.experiments: list[Experiment] = [*toys(6), replace(net, observe=observe)]
        self.root, self.chance = root, chance
        lab = lab_at(root)
        lab.train(lab.plan(self.experiments))
        self.keys: list[Key] = [key for one in self.experiments for key in lab.keys(one)]
        self.right: dict[Key, Recording] = {key: self._found(key) for key in self.keys}
        self.content = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
        self.recordings = recordings(root)

    def _found(self, key: Key) -> Recording:
        found, why = Store(self.root).find(key)
        assert found is not None, why
        return found

    def used(self, damage: Callable[[], None]) -> tuple[bool, int]:
        """Damages the store: whether that is noticed, and how many recordings are used that are not as trained.

        What is refused must be named in a line, or there would be a difference that nobody hears of.
        """
        damage()
        noticed = any(wrong for _, wrong in verify(self.root))
        wrong = 0
        for key in self.keys:
            store = Store(self.root)
            facts = store.look_up(key).facts
            found, _ = store.find(key)
            if found is None:
                wrong += not store.notes and (self.root / key.place).exists()
            else:
                wrong += not _same(found, self.right[key]) or facts is None
        for path, content in self.content.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return noticed, wrong

    def flip(self) -> None:
        """One bit of one file."""
        path = self.chance.choice(list(self.content))
        content = bytearray(self.content[path])
        content[self.chance.randrange(len(content))] ^= 1 << self.chance.randrange(8)
        path.write_bytes(content)

    def cut(self) -> None:
        """One file to some length."""
        path = self.chance.choice(list(self.content))
        path.write_bytes(self.content[path][: self.chance.randrange(len(self.content[path]))])

    def exchanges(self) -> Iterator[Callable[[], None]]:
        """Every two recordings, each under the other's name."""
        for one in self.recordings:
            for other in self.recordings:
                if one < other:
                    yield lambda one=one, other=other: [  # type: ignore[misc]
                        one.write_bytes(self.content[other]),
                        other.write_bytes(self.content[one]),
                    ]

    def copies(self) -> Iterator[Callable[[], None]]:
        """Every recording under every other's name."""
        for one in self.recordings:
            for other in self.recordings:
                if one != other:
                    yield lambda one=one, other=other: other.write_bytes(self.content[one])  # type: ignore[misc]

    def foreigners(self) -> Iterator[Callable[[], None]]:
        """Files of other origin in the place of each recording."""
        for path in self.recordings:
            arrays = safetensors.numpy.load(self.content[path])
            for content in (b"", b"text", bytes(10_000), os.urandom(10_000), safetensors.numpy.save(arrays)):
                yield lambda path=path, content=content: path.write_bytes(content)  # type: ignore[misc]


def damages(folder: Path, flips: int, cuts: int, chance: random.Random) -> int:
    """Prints what became of damaged files; gives how many were used."""
    store = Damaged(folder / "damaged", chance)
    kinds: dict[str, list[Callable[[], None]]] = {
        "single-bit flips": [store.flip] * flips,
        "truncations": [store.cut] * cuts,
        "exchanges of two": list(store.exchanges()),
        "copies under another name": list(store.copies()),
        "foreign files": list(store.foreigners()),
    }
    used = 0
    for kind, ones in kinds.items():
        found = [store.used(one) for one in ones]
        wrong = sum(wrong for _, wrong in found)
        noticed = sum(seen for seen, _ in found)
        print(f"{len(ones)} {kind}: {noticed} noticed, {wrong} used", flush=True)
        used += len(ones) - noticed
        used += wrong
    return used + any(wrong for _, wrong in verify(folder / "damaged"))


def full_disk(folder: Path) -> int:
    """A store on a disk of 64 KiB more than is checked for, where recordings need more; 0 if one line says so."""
    disk = folder / "disk"
    disk.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if sys.platform != "linux" or os.geteuid() or subprocess.run(mounted, capture_output=True).returncode:
        print("a full disk: not tried, as that needs root and Linux")
        return 0
    try:
        command = [sys.executable, "-c", FILL, str(disk / "store")]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    told = ended.stdout.strip()
    print(f"a full disk in mid-run: {told}", flush=True)
    return int("cannot be written: No space left on device" not in told or "tried 1" not in told)


FILL = """
import sys
from dataclasses import replace
from pathlib import Path
from ilr.lab import scheduler
from ilr.lab.jobs import Job
from ilr.lab.store import StoreError
from tests.stores import TOY, lab_at, toys
from ilr.experiments.experiment import Observe

scheduler.check_room = lambda *_: None  # or it would not even begin
tried = []
train = Job.train
Job.train = lambda self, tick: (tried.append(self), train(self, tick))
large = [replace(one, replicas=8, observe=(Observe("weight_norm", range(9000)),)) for one in toys(4, 9000)]
lab = lab_at(Path(sys.argv[1]))
try:
    lab.train(lab.plan(large))
except StoreError as error:
    print(f"tried {len(tried)} of 4 jobs; {error}")
"""


def _same(one: Recording, other: Recording) -> bool:
    return one.arrays.keys() == other.arrays.keys() and all(
        np.array_equal(values, other.arrays[name], equal_nan=values.dtype.kind == "f")
        for name, values in one.arrays.items()
    )


def main() -> int:
    """Prints the figures; the exit status is 0 where they are as they must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--chance", type=int, default=0, help="seed of the damages")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ilr-soak-"))
    try:
        wrong = damages(folder, given.flips, given.cuts, random.Random(given.chance)) + full_disk(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
