"""Is training on a GPU right, and how fast is it? One command, for whoever has a GPU for a few minutes.

    python -m benchmarks.gpu_check --out gpu --seconds 450
    python -m benchmarks.gpu_check --out gpu --device cpu --toy

The parts come in order of importance: what must be right before what should be fast. Each is kept in <out>/check.json
when it has ended, and what goes wrong in one is kept in its place. The second command runs the same code at toy sizes.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_parts import exactness, faults, speed, suites
from benchmarks.gpu_parts.setting import Found, Setting, say
from ilr.lab.hardware import processor
from ilr.lab.limits import cpu_cores
from ilr.nn.arithmetic import multiplying

Part = Callable[[Setting, Mapping[str, Found]], Found]
"""Looks into one thing; is told what the parts before it found."""


def machine(setting: Setting, _: Mapping[str, Found]) -> Found:
    """What this was run on."""
    found: Found = {
        "processor": processor(str(setting.device)),
        "cores": cpu_cores(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }
    if setting.device.type == "cuda":
        about = torch.cuda.get_device_properties(setting.device)
        ask = ["nvidia-smi", "--query-gpu=driver_version,clocks.sm,clocks.max.sm,power.limit", "--format=csv,noheader"]
        found |= {
            "capability": f"{about.major}.{about.minor}",
            "multiprocessors": about.multi_processor_count,
            "memory_gb": about.total_memory / 1e9,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "driver, clock, highest clock, power": subprocess.run(
                ask, capture_output=True, text=True, check=False
            ).stdout.strip(),
        }
    return found


PARTS: dict[str, tuple[Part, float]] = {
    "machine": (machine, 0),
    "ceilings": (speed.ceilings, 15),
    "exactness": (exactness.exactness, 30),
    "faults": (faults.faults, 40),
    "suites": (suites.suites, 120),
    "steps": (speed.steps, 60),
    "compiled": (speed.compiled_steps, 90),
    "rivals": (speed.rivals, 30),
    "loops": (speed.loops, 30),
}
"""Each with the seconds that it needs on a GPU."""


def check(setting: Setting, only: tuple[str, ...], until: float) -> dict[str, Found]:
    """Runs the parts, as far as time allows, and gives and keeps what they found."""
    found: dict[str, Found] = {}
    for name, (part, needed) in PARTS.items():
        if only and name not in only:
            continue
        if not setting.toy and until - time.monotonic() < needed:
            found[name] = {"not run": "for want of time"}
            continue
        started = time.monotonic()
        try:
            # Some time a step without `train`, which sees to that; torch's own convolutions are in TF32.
            with multiplying("float32", setting.device):
                found[name] = part(setting, found)
        except Exception as error:
            found[name] = {"error": f"{type(error).__name__}: {error}", "where": traceback.format_exc()[-2000:]}
        found[name]["seconds"] = round(time.monotonic() - started, 1)
        say(name, found[name])
        (setting.out / "check.json").write_text(json.dumps(found, indent=1) + "\n")
    return found


def main(arguments: list[str]) -> int:
    """Gives 1 where something was wrong, and 0 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--seconds", type=float, default=450)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--only", default="", help="parts, joined by commas")
    given = parser.parse_args(arguments)
    until = time.monotonic() + given.seconds
    given.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    setting = Setting(torch.device(given.device), given.toy, given.out.resolve(), until)
    found = check(setting, tuple(filter(None, given.only.split(","))), until)
    wrong = {name: part.get("wrong") or part.get("error") for name, part in found.items()}
    bad: dict[str, Any] = {name: what for name, what in wrong.items() if what}
    say("wrong", bad or "nothing")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
