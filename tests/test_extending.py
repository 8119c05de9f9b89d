"""docs/extending.md is true: its records and scripts run, and put a claim on trial."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ilr
from ilr.commands.new import claim_text
from ilr.lab.store.own_code import _sources
from ilr.serialization import _RECORDS
from tests.conftest import LOADS_ILR

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"`your-folder/(\w+\.py)`:\n\n```python\n(.*?)```", PAGE, flags=re.DOTALL))
"""The files that the page shows, by name."""
SCRIPTS = [text for text in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL) if text not in FILES.values()]
RATES = '{"small steps": 0.1, "large steps": 10.0}'
NORM = "norm=ilr.BatchNorm(),"
CHANGES = {
    "RMSNorm": (
        "from rms import RMSNorm",
        {NORM: "norm=RMSNorm(),", RATES: '{"small steps": 0.1, "large steps": 1.0}'},
    ),
    "LARS": ("from lars import LARS", {NORM: f"{NORM} optimizer=LARS(),"}),
    "ViT": (
        "from vit import ViT",
        {
            "net=ilr.MLP((16, 16)),": "net=ViT(depth=1, width=4),",
            NORM: "norm=ilr.InNet(),",
            RATES: '{"small steps": 0.01, "large steps": 0.1}',
        },
    ),
}
"""By what is brought: what the claim imports, and what becomes of its lines."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the page's files, of whose modules and records nothing is left afterwards."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    records, modules = dict(_RECORDS), set(sys.modules)
    yield tmp_path
    for name in {Path(name).stem for name in FILES} & (set(sys.modules) - modules):
        del sys.modules[name]
    _RECORDS.clear()
    _RECORDS.update(records)
    _sources.cache_clear()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda text: text.splitlines()[1].split()[-1])
def test_a_script_of_the_page_runs(
    script: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ilr.run
    monkeypatch.setattr(ilr, "run", lambda experiment: run(experiment, store=folder / "store", device="cpu"))
    monkeypatch.chdir(folder)
    exec(script, {"__name__": "script"})
    assert re.match(r"\[\d", capsys.readouterr().out)


@pytest.mark.parametrize("section", CHANGES)
def test_a_claim_goes_on_trial_with_it(
    section: str, folder: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    imported, lines = CHANGES[section]
    text = claim_text("norm-never-falls").replace("import ilr\n", f"import ilr\n\n{imported}\n", 1)
    for before, after in lines.items():
        assert before in text
        text = text.replace(before, after)
    claims = folder / "claims"
    claims.mkdir()
    (claims / "conftest.py").write_text(LOADS_ILR)
    (claims / "test_norm_never_falls.py").write_text(text, encoding="utf-8")
    result = pytester.runpytest_inprocess(
        str(claims),
        "--engine=in-process",
        "--replicas=4",
        f"--store={folder / 'store'}",
        f"--report={folder / 'report'}",
        "-p",
        "no:cacheprovider",
    )
    evidence = (folder / "report" / "evidence.json").read_text(encoding="utf-8")
    assert result.ret in (0, 1), result.outlines
    assert section in evidence
    assert ("measured: scale-invariant" in evidence) == (section == "RMSNorm")
    assert ("measured: not scale-invariant" in evidence) == (section == "ViT")
    assert ('LARS(momentum=0.9), measured: effective learning rate η"' in evidence) == (section == "LARS")
    assert re.search(r'"verdict": ?"(REPRODUCED|REFUTED|INCONCLUSIVE|UNSOUND)"', evidence)


def test_a_wrong_record_is_one_line_and_hurts_no_other_claim(folder: Path, pytester: pytest.Pytester) -> None:
    lars = folder / "lars.py"
    lars.write_text(lars.read_text().replace("return weights - velocity,", "return (weights - velocity)[:, :1],"))
    claims = folder / "claims"
    claims.mkdir()
    (claims / "conftest.py").write_text(LOADS_ILR)
    (claims / "test_sound.py").write_text(claim_text("sound"), encoding="utf-8")
    text = claim_text("wrong").replace("import ilr\n", "import ilr\n\nfrom lars import LARS\n", 1)
    (claims / "test_wrong.py").write_text(text.replace(NORM, f"{NORM} optimizer=LARS(),"), encoding="utf-8")
    store, report = f"--store={folder / 'store'}", f"--report={folder / 'report'}"
    result = pytester.runpytest_inprocess(
        str(claims), "--engine=in-process", "--replicas=4", store, report, "-p", "no:cacheprovider"
    )
    [told] = [line for line in result.outlines if "could not be planned" in line and line.startswith(" ")]
    assert re.search(
        r"lars\.py: LARS: step\(\) gives weights of the shape \[3, 1, 4\] .*, which were \[3, 4, 4\]", told
    )
    assert [line.split() for line in result.outlines if line.startswith("ERROR  ")] == [["ERROR", "wrong"]]
    assert any(re.match(r"(REPRODUCED|REFUTED|INCONCLUSIVE) +sound", line) for line in result.outlines)
