"""Feeds 500 hostile inputs by chance: options, claims' files, data files, evidence; prints what became of them.

Each must give one clear line and a documented exit status; the claim that stands beside a hostile one must be judged.
"""

import argparse
import contextlib
import gzip
import io
import json
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ilr.__main__ import main as command
from ilr.data.catalog import DataUnavailableError
from ilr.data.readers import read
from ilr.report.files import EVIDENCE
from ilr.session.options import BadOptionError, check, table
from tests.claim_files import write_claim
from tests.conftest import LOADS_ILR

ROOT = Path(__file__).parents[2]

TYPED = (
    "", " ", "-1", "1e9", "0x10", "nan", "inf", "²", "٣x", "None", "True", "9" * 5000, "9" * 25, "a\0b", "x" * 5000,
    "~nobody/x", "/proc/1/x", "/dev/null/x", "cuda:99", "cpu,cuda", "tiny\n", "../" * 40 + "x\0", "\u202e", "λ/\0",
)  # fmt: skip

VALUES = (
    "None", "True", "[]", "{}", "object()", "float('nan')", "float('inf')", "10**400", "-1", "1e308", "'text'", "b'x'",
    "lambda: 0", "__import__('numpy').float32('nan')", "__import__('torch').nn.Linear(2, 2)", "Toy", "range(-3, 0)",
    "{'record': 'Constant'}", "__import__('numpy').zeros((2, 2))", "1 / 0", "exit()", "__import__('pytest').skip('x')",
)  # fmt: skip
FIELDS = (
    "net=Toy()", "norm=NoNorm()", "learning_rate=Constant(0.1)", "weight_decay=Constant(0.0)", "steps=20",
    "seed=setting.seed", 'observe=(Observe("weight_norm", (20,)),)', "replicas=Replicas(tiny=6)", "predictions=(NORM,)",
    'controls=(Control("decay", "No weight decay."),)', 'source="here"',
)  # fmt: skip
TOGETHER = 20
"""Claims' files of one run, beside a good one."""


def options(count: int, chance: random.Random) -> Iterator[str]:
    """What is wrong with each option that was typed; empty where it is one line."""
    names = [name for name, option in table().items() if option.check is not bool]
    for _ in range(count):
        name, typed = chance.choice(names), chance.choice(TYPED)
        given: dict[str, Any] = dict.fromkeys(table())
        try:
            check(argparse.Namespace(**given | {name: typed}))
        except BadOptionError as error:
            yield "" if "\n" not in str(error) and len(str(error)) < 1000 else f"{name}: {error}"
        except Exception as error:
            yield f"--{name}={typed[:40]!r}: {type(error).__name__}"
        else:
            yield ""


def claim_files(count: int, chance: random.Random, folder: Path) -> Iterator[str]:
    """What is wrong with each claim's file, or with the run that it was part of."""
    for start in range(0, count, TOGETHER):
        place = folder / f"claims-{start}"
        write_claim(place / "claims", "good")
        (place / "claims" / "conftest.py").write_text(LOADS_ILR)
        written = []
        for number in range(start, min(start + TOGETHER, count)):
            path = write_claim(place / "claims", f"bad-{number}")
            old = chance.choice(FIELDS)
            text = path.read_text()
            assert old in text
            path.write_text(text.replace(old, f"{old.partition('=')[0]}={chance.choice(VALUES)}", 1))
            written.append(path)
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "claims", "--engine=in-process", f"--store={place / 'store'}"],
            cwd=place, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"},
        )  # fmt: skip
        said = ended.stdout + ended.stderr
        wrong = ""
        if ended.returncode not in (0, 1) or "Traceback" in said or "INTERNALERROR" in said:
            wrong = f"{place}: status {ended.returncode}: {said[-2000:]}"
        evidence = place / "reports" / "tiny" / EVIDENCE
        judged = json.loads(evidence.read_text())["claims"] if evidence.is_file() else []
        if {"good": "REPRODUCED"}.items() - {claim["id"]: claim["verdict"] for claim in judged}.items():
            wrong = wrong or f"{place}: the good claim was not judged"
        for path in written:
            yield wrong or ("" if path.stem in said else f"{path}: nothing is said of it")


def data_files(count: int, chance: random.Random, folder: Path) -> Iterator[str]:
    """What is wrong with how damaged data files are refused."""
    for number in range(count):
        root = folder / f"data-{number}"
        root.mkdir()
        images = struct.pack(">IIII", 0x803, 60, 28, 28) + bytes(60 * 784)
        labels = struct.pack(">II", 0x801, 60) + bytes(60)
        contents = {
            "train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": labels,
            "t10k-images-idx3-ubyte": images, "t10k-labels-idx1-ubyte": labels,
        }  # fmt: skip
        damaged = chance.choice(list(contents))
        content = bytearray(contents[damaged])
        match chance.randrange(4):
            case 0:
                content = content[: chance.randrange(len(content))]
            case 1:
                content[chance.randrange(8)] ^= 1 << chance.randrange(8)
            case 2:
                content = bytearray(gzip.compress(content)[: chance.randrange(10, 40)])
                damaged += ".gz"
                contents.pop(damaged.removesuffix(".gz"))
            case _:
                content = bytearray(chance.randbytes(chance.randrange(200)))
        contents[damaged] = bytes(content)
        for name, whole in contents.items():
            (root / name).write_bytes(whole)
        try:
            read("mnist", root)
        except DataUnavailableError as error:
            yield "" if "\n" not in str(error) else f"{root}: {error}"
        except Exception as error:
            yield f"{root}: {type(error).__name__}: {error}"
        else:
            yield f"{root}: taken for MNIST"


def evidence_files(count: int, chance: random.Random, folder: Path) -> Iterator[str]:
    """What is wrong with how changed evidence is taken: written again, or refused in one line with status 2."""
    text = (ROOT / "reports" / "reference" / "tiny" / EVIDENCE).read_text(encoding="utf-8")
    odd = (None, -1, 1e999, 10**400, "", "\ud800", [], {}, "<script>", True, "2", [[[]]])
    for number in range(count):
        place = folder / f"report-{number}"
        place.mkdir()
        changed = json.loads(text)
        changed["claims"] = changed["claims"][:2]
        spot: Any = changed
        while True:
            key = chance.choice(list(spot) if isinstance(spot, dict) else range(len(spot)))
            if not isinstance(spot[key], dict | list) or not spot[key] or chance.random() < 0.2:
                break
            spot = spot[key]
        spot[key] = chance.choice(odd)
        written = json.dumps(changed)
        if chance.random() < 0.2:
            written = written[: chance.randrange(len(written))]
        (place / EVIDENCE).write_text(written)
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
                status = command(["report", str(place)])
        except BaseException as error:
            yield f"{place}: {type(error).__name__}: {str(error)[:200]}"
            continue
        lines = said.getvalue().count("\n")
        yield "" if (status, lines) in ((0, 0), (2, 1)) else f"{place}: status {status}, {lines} lines"


def figures(count: int = 500, seed: int = 0) -> tuple[Counter[str], list[str]]:
    """How many inputs of each kind were taken as they must be, and a line for each that was not."""
    chance = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="ilr-hostile-"))
    well: Counter[str] = Counter()
    wrong = []
    try:
        kinds = {
            "options": options(count * 3 // 10, chance),
            "claims' files": claim_files(count * 3 // 10, chance, folder),
            "data files": data_files(count // 10, chance, folder),
            "evidence": evidence_files(count - 2 * (count * 3 // 10) - count // 10, chance, folder),
        }
        for kind, complaints in kinds.items():
            for complaint in complaints:
                well[kind] += not complaint
                wrong += [f"{kind}: {complaint}"] if complaint else []
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return well, wrong


def main() -> int:
    """Prints the figures; the exit status is 0 where every input gave one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=500)
    parser.add_argument("--chance", type=int, default=0, help="seed of the inputs")
    given = parser.parse_args()
    well, wrong = figures(given.inputs, given.chance)
    for line in wrong:
        print(line)
    kinds = ", ".join(f"{kind} {number}" for kind, number in well.items())
    print(
        f"{given.inputs} hostile inputs: {well.total()} gave one line or nothing wrong ({kinds}); {len(wrong)} did not"
    )
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
