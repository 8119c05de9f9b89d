"""A pilot trains a claim's first look, says what each prediction would need, and is no trial."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ilr.__main__ import main
from ilr.dryrun.pilot import Need, outlooks
from ilr.report.files import write_evidence
from ilr.report.findings import finding_texts
from ilr.stats.decision import Verdict
from tests.claim_files import VARIANTS, write_claim
from tests.sample_evidence import claim, finding, sample_evidence, typed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of claims, which are imported by their names: afterwards these are forgotten."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def pilot(path: Path, *options: str) -> int:
    return main(["pilot", str(path), f"--store={path.parent / 'store'}", "--engine=in-process", *options])


def test_it_says_what_each_prediction_would_need(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_claim(folder, "grows")
    assert pilot(path, "--seed=900463") == 0
    out = capsys.readouterr().out
    assert re.search(r"^norm +\d.* to .* +at least 0\.9 +6 +\w+ +\d+ *$", out, flags=re.MULTILINE)
    assert re.search(r"^control decay: norm +\d.* to .* +at least 0\.9 +6 +REFUTED +\d+ *$", out, re.MULTILINE)
    assert re.search(r"^  the claim: \d+, to be REPRODUCED$", out, re.MULTILINE)
    assert re.search(r"^  control decay: \d+, to be REFUTED$", out, re.MULTILINE)
    assert "Registered: 6." in out
    assert 'scale = "tiny"\ntried = "toy x²/(x²+y²), no normalisation; 20 steps"\nfound = ""\nseeds = "900463"' in out
    # Kept, and found again; no report.
    assert {one.name for one in folder.iterdir()} - {"__pycache__"} == {"store", path.name}
    assert pilot(path, "--seed=900463") == 0
    assert "Nothing to train" in capsys.readouterr().out


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_narrow_terminal_cuts_neither_names_nor_numbers(
    columns: int, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    name = "growth of the norm, as a share of what it was"
    path = write_claim(folder, "grows")
    path.write_text(
        path.read_text().replace('Prediction("norm", "at_least", 0.9', f'Prediction("{name}", "at_least", 0.9e-7')
    )
    assert pilot(path, "--seed=900463") == 0
    out = capsys.readouterr().out
    table = out[out.index("finding ") : out.index("Replicas a group")].replace("\u202f", " ")
    assert "…" not in table
    for word in (*name.split(), "decay:", "would need", "at least 9 × 10⁻⁸", "as it stands"):
        assert word in table
    if columns > 100:
        assert max(map(len, table.splitlines())) <= columns


def test_looks_share_the_level_and_only_the_first_is_trained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needed = []
    for name, replicas in (("once", 8), ("four-times", (8, 16, 32, 64))):
        path = write_claim(folder, name, replicas=replicas)
        # Near what it is found to be: where a few networks are enough, numbers of networks are too coarse to tell.
        path.write_text(path.read_text().replace('"at_least", 0.9', '"at_least", 1.0'))
        assert pilot(path, "--seed=900463") == 0
        out = capsys.readouterr().out
        [(n, number)] = re.findall(r"^norm .* (\d+) +\w+ +(\d+) *$", out, flags=re.MULTILINE)
        assert n == "8"
        needed.append(int(number))
    assert "Registered: 8, then 16, then 32, then 64." in out
    # A quarter of α each takes more.
    assert needed[1] > needed[0]


def test_a_control_that_would_not_fail_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pilot(write_claim(folder, "unsound", **VARIANTS["unsound"]), "--seed=900463") == 0
    assert re.search(
        r"control decay: \d+, to be REPRODUCED, which makes the claim UNSOUND$", capsys.readouterr().out, re.MULTILINE
    )


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("not-run", "the claim 'not-run': does not run at scale tiny: only tiny is written"),
        ("crashed", "the claim 'crashed' cannot be judged: its judge failed: ZeroDivisionError"),
        ("diverged", "the claim 'diverged' cannot be judged: replica 0 of 'run' diverged"),
    ],
)
def test_what_cannot_be_sized_is_one_line(
    name: str, complaint: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes: dict[str, Any] = VARIANTS[name]
    assert pilot(write_claim(folder, name, **changes), "--seed=900463") == 2
    err = capsys.readouterr().err
    assert complaint in err
    assert err.count("\n") == 1


def test_a_seed_that_the_claim_was_judged_on_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_claim(folder, "judged")
    (folder / "history").mkdir()
    attempt = '{ date = 2026-11-01, scale = "tiny", seed = 7, commit = "", verdict = "REFUTED", regime = "toy" }'
    (folder / "history" / "judged.toml").write_text(f"attempts = [\n    {attempt},\n]\n")
    assert pilot(path, "--seed=7") == 2
    assert "was judged on seed 7: choose another to explore on" in capsys.readouterr().err
    assert not (folder / "store").exists()


@pytest.mark.parametrize("beside", [".", ".."], ids=["in the claim's folder", "above it"])
def test_so_is_one_that_a_report_has_judged(beside: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_claim(folder / "claims", "judged")
    judged, other = (claim(name, "REFUTED", findings=[finding("x")]) for name in ("judged", "other"))
    evidence = sample_evidence() | {"claims": [judged, other, claim("not-run", "NOT RUN")], "seed": 7}
    write_evidence(typed(evidence), path.parent / beside / "reports" / "tiny" / "evidence.json")
    assert pilot(path, "--seed=7") == 2
    assert re.search(r"'judged' was judged on seed 7, as the report in \S+tiny says: choose", capsys.readouterr().err)
    assert pilot(path, "--seed=900463") == 0
    # Of another claim it says nothing.
    assert pilot(write_claim(folder / "claims", "not-run"), "--seed=7") == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["absent.py"], "absent.py is no file"),
        (["absent.py", "--seed=-1"], "--seed=-1: must be a whole number"),
        (["absent.py", "--scale=huge"], "--scale=huge: choose from tiny, reduced, full"),
    ],
)
def test_what_was_typed_wrong_is_one_line(
    options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pilot", *options]) == 2
    err = capsys.readouterr().err
    assert complaint in err
    assert err.count("\n") == 1


def needs(control: str, *found: tuple[float, int | None]) -> list[Need]:
    """Findings that accept 0.28 to 0.34, by their estimate and what they need."""
    told = [finding(f"{number}", estimate=estimate) for number, (estimate, _) in enumerate(found)]
    evidence = typed(sample_evidence() | {"claims": [claim("x", "REPRODUCED", findings=told)]})
    texts = finding_texts(evidence.claims[0].findings)
    return [Need(control, text, replicas) for text, (_, replicas) in zip(texts, found, strict=True)]


@pytest.mark.parametrize(
    ("found", "verdict", "replicas"),
    [
        ([(0.3, 8), (0.31, 20)], Verdict.REPRODUCED, 20),
        ([(0.3, 8), (0.31, None)], Verdict.REPRODUCED, None),
        ([(0.3, 8), (0.2, 20), (0.4, 30)], Verdict.REFUTED, 20),
        ([(0.3, None), (0.2, None), (0.4, 30)], Verdict.REFUTED, 30),
        ([(0.2, None)], Verdict.REFUTED, None),
    ],
)
def test_all_findings_reproduce_and_one_refutes(
    found: list[tuple[float, int | None]], verdict: Verdict, replicas: int | None
) -> None:
    [own, control] = outlooks([*needs("", *found), *needs("without", *found)])
    assert (own.control, own.verdict, own.replicas) == ("", verdict, replicas)
    assert (control.control, control.verdict, control.replicas) == ("without", verdict, replicas)
