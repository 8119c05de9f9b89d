"""Runs every part of the soak, or those that are named, and prints its figures: `python -m tests.soak [PART ...]`."""

import subprocess
import sys
from pathlib import Path

PARTS = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def main() -> int:
    """The exit status is 0 where every figure is as it must be."""
    chosen = sys.argv[1:] or PARTS
    if unknown := sorted({*chosen} - {*PARTS}):
        print(f"there is no part {unknown[0]!r}; choose from {', '.join(PARTS)}", file=sys.stderr)
        return 2
    wrong = []
    for part in chosen:
        print(f"== {part}", flush=True)
        # Each in a process of its own: what one leaves behind is nothing to the next.
        if subprocess.run([sys.executable, "-m", f"tests.soak.{part}"]).returncode:
            wrong.append(part)
    print(f"== not as it must be: {', '.join(wrong)}" if wrong else "== everything is as it must be")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
