"""The project's own tests and claims, on a GPU."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.gpu_parts.setting import Found, Setting

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "reports" / "reference" / "tiny" / "evidence.json"

ORACLE_TESTS = (
    "tests/training/test_loop.py",
    "tests/nn/test_execution.py",
    "tests/nn/test_architectures.py",
    "tests/data/test_augmentation.py",
)

ELSEWHERE = """
import ilr.training.loop as loop

_, *others = loop.train.__defaults__
loop.train.__defaults__ = ({device!r}, *others)
"""
"""A plugin by which the tests, which name no device, train on another than the CPU."""


def suites(setting: Setting, _: Mapping[str, Found]) -> Found:
    """How the oracle's tests end on the device, and beside each verdict at tiny that of the reference report."""
    reference = json.loads(REFERENCE.read_text())
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "train_elsewhere.py").write_text(ELSEWHERE.format(device=str(setting.device)))
        paths = [folder, str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
        common = [sys.executable, "-m", "pytest", "-q", "-W", "default", "-p", "no:cacheprovider"]
        tests = [*common, "-p", "train_elsewhere", *(ORACLE_TESTS[1:2] if setting.toy else ORACLE_TESTS)]
        claims = [
            *common,
            "claims",
            "--scale=tiny",
            f"--seed={reference['seed']}",
            f"--device={setting.device}",
            f"--workers={1 if setting.toy else 4}",
            f"--store={folder}/store",
            f"--report={folder}/report",
            *(["-k", "norm_growth"] if setting.toy else []),
        ]
        # One after the other, so that the time of the claims is theirs.
        found = {"oracle": _run(tests, environment, setting), "tiny": _run(claims, environment, setting)}
        evidence = Path(folder) / "report" / "evidence.json"
        verdicts = _compared(json.loads(evidence.read_text()), reference) if evidence.is_file() else {}
    wrong = [name for name, suite in found.items() if suite["exit"] != 0]
    wrong += [name for name, one in verdicts.items() if one["here"] != one["reference"]]
    return {"wrong": wrong, **found, "verdicts": verdicts}


def _run(command: list[str], environment: Mapping[str, str], setting: Setting) -> Found:
    started = time.monotonic()
    try:
        run = subprocess.run(
            command,
            cwd=ROOT,
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=max(60.0, min(150.0, setting.left - 60)),
        )
        code, printed = run.returncode, run.stdout
    except subprocess.TimeoutExpired as error:
        code, printed = -1, (error.stdout or b"").decode(errors="replace")
    end = printed.strip().splitlines()[-1:]
    failed = [line for line in printed.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return {"exit": code, "seconds": round(time.monotonic() - started, 1), "end": end, "failed": failed[:20]}


def _compared(evidence: Found, reference: Found) -> Found:
    """Each claim's verdict here and in the reference report, and its largest shift in half-widths of an interval."""
    before = {claim["id"]: claim for claim in reference["claims"]}
    compared = {}
    for claim in evidence["claims"]:
        other = before[claim["id"]]
        shifts = []
        for mine, theirs in zip(claim["findings"], other["findings"], strict=True):
            if None not in (*mine["interval"], *theirs["interval"]):
                half = (theirs["interval"][1] - theirs["interval"][0]) / 2
                shifts.append(abs(mine["estimate"] - theirs["estimate"]) / half if half else 0.0)
        compared[claim["id"]] = {
            "here": claim["verdict"],
            "reference": other["verdict"],
            "largest shift": round(max(shifts, default=0.0), 2),
        }
    return compared
