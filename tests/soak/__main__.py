"""Runs every part of the soak, or those that are named, and prints its figures: `python -m tests.soak [PART ...]`."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.soak._whole import SHARED

PARTS = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def main() -> int:
    """The exit status is 0 where every figure is as it must be."""
    chosen = sys.argv[1:] or PARTS
    if unknown := sorted({*chosen} - {*PARTS}):
        print(f"there is no part {unknown[0]!r}; choose from {', '.join(PARTS)}", file=sys.stderr)
        return 2
    wrong = []
    with tempfile.TemporaryDirectory(prefix="ilr-soak-") as whole:
        for part in chosen:
            print(f"== {part}", flush=True)
            began = time.monotonic()
            # Each in a process of its own: what one leaves behind is nothing to the next.
            ended = subprocess.run([sys.executable, "-m", f"tests.soak.{part}"], env=os.environ | {SHARED: whole})
            if ended.returncode:
                wrong.append(part)
            print(f"== {part} took {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    print(f"== not as it must be: {', '.join(wrong)}" if wrong else "== everything is as it must be")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
