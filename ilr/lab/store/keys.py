"""What a recording is found by: everything that decides its numbers."""

import hashlib
import subprocess
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from ilr.experiments.experiment import Experiment
from ilr.serialization import canonical, digest, record

DECIDING_PACKAGES = ("data", "nn", "training", "experiments")
"""Packages whose source decides what a training run computes: every file of them is part of every key."""

RECORDING = ".safetensors"
"""How the name of a recording's file ends."""


def deciding_files() -> list[Path]:
    """The source files that decide a recording's numbers, in order of path."""
    root = Path(__file__).parents[2]
    files = [path for package in DECIDING_PACKAGES for path in sorted((root / package).rglob("*.py"))]
    # Training does not run it: it holds results.
    return [path for path in files if path.name != "recording.py"]


@cache
def training_code_sha256() -> str:
    """sha256 of the source that decides a recording's numbers, file names included."""
    named = [f"{path.parent.name}/{path.name}\n".encode() + path.read_bytes() for path in deciding_files()]
    return hashlib.sha256(b"".join(named)).hexdigest()


@cache
def commit() -> str:
    """The commit of ilr's own source, and whether it was changed; empty where it is installed without repository."""
    root = Path(__file__).parents[3]
    # Installed into an environment inside somebody's repository, that repository is not ours.
    if not (root / ".git").exists():
        return ""
    try:
        head = subprocess.run(("git", "rev-parse", "HEAD"), cwd=root, capture_output=True, text=True, check=True)
        changed = subprocess.run(("git", "diff", "--quiet", "HEAD", "--", "ilr"), cwd=root, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + (" (changed)" if changed.returncode else "")


@record
class Key:
    """Everything that decides a recording's numbers."""

    experiment: Experiment
    code_sha256: str
    data_sha256: str
    """Empty for an experiment without data."""
    device: str
    """Kind of device: "cpu" or "cuda"."""
    own_code_sha256: str = ""
    """Of the source of the experiment's records that are defined outside ilr; empty where there are none."""

    @cached_property
    def text(self) -> str:
        """Its one JSON text."""
        return canonical(self)

    @cached_property
    def place(self) -> Path:
        """Where in a store its recording lies."""
        name = hashlib.sha256(self.text.encode()).hexdigest()
        return Path(digest(self.experiment), f"{name}{RECORDING}")


_IN_WORDS = {
    "code_sha256": "the training code",
    "own_code_sha256": "the code of its own records",
    "data_sha256": "the data",
    "device": "the kind of device",
}
"""What a key's fields are to a reader, in whose words a recording's absence is explained."""


def changed_since(key: Key, other: dict[str, Any]) -> str:
    """What tells a key from that of another recording of the same experiment, in words.

    Args:
        key: that was asked for.
        other: the JSON form of the other.
    """
    changed = [what for field, what in _IN_WORDS.items() if other.get(field, "") != getattr(key, field)]
    return " and ".join(changed)
