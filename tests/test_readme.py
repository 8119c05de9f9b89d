"""The README keeps its word: its commands exist, its example runs, its tables are complete."""

import configparser
import json
import re
from pathlib import Path

import pytest

import ilr
from ilr.stats.decision import Verdict
from tests.claim_files import write_claim
from tests.conftest import LOADS_ILR, Run
from tests.sabotage import SABOTAGES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_example_is_a_complete_claim(pytester: pytest.Pytester) -> None:
    example, contract = blocks("python")
    folder = pytester.mkdir("your-folder")
    [plugin] = re.findall(r"`(pytest_plugins = .*?)`", README)
    pytester.makeconftest(plugin)
    (folder / "test_norm_never_falls.py").write_text(example, encoding="utf-8")
    (folder / "test_contract.py").write_text(contract, encoding="utf-8")
    (folder / "conftest.py").write_text(LOADS_ILR, encoding="utf-8")
    result = pytester.runpytest_subprocess(folder, "--store=store", "--report=report", "--workers=1")
    assert result.ret == pytest.ExitCode.OK
    assert result.parseoutcomes() == {"passed": 3}
    result.stdout.re_match_lines([r"REPRODUCED +norm-never-falls  controls sound 1/1"])


def test_its_plan_is_the_plan_that_is_printed(pytester: pytest.Pytester, run: Run) -> None:
    """The headers of both tables, and how each note begins; the numbers are those of another day."""
    write_claim(pytester.path / "claims", "reproduced", replicas=6)
    printed = run("--plan").stdout.str()
    [told] = blocks("text")

    def headers(text: str) -> list[list[str]]:
        return [line.split() for line in text.splitlines() if line.startswith(("claim ", "GPUs "))]

    assert len(headers(told)) == 2
    assert headers(told) == headers(printed)
    for note in ("shared:", "here:", "GPU times:", "no number of GPUs takes less than"):
        assert f"\n{note}" in told
        assert f"\n{note}" in printed


def test_its_tox_environments_exist() -> None:
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    named = {name for line in re.findall(r"tox -e ([\w,]+)", README) for name in line.split(",")}
    assert named == {"tiny", "tests", "lint", "types"}
    assert {f"testenv:{name}" for name in named} <= set(tox.sections())


def test_ci_runs_its_test_command() -> None:
    assert "\ntox -e tests\n" in (ROOT / ".ci" / "run").read_text()


def test_every_file_it_links_to_is_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_claim_and_verdict_is_in_its_tables() -> None:
    linked = set(re.findall(r"^\| \[([\w-]+)\]", README, flags=re.MULTILINE))
    assert linked == {path.stem[5:].replace("_", "-") for path in (ROOT / "claims").glob("test_*.py")}
    for verdict in Verdict:
        assert f"| {verdict} |" in README


def test_its_results_are_those_of_the_reference_reports() -> None:
    written = re.findall(r"^\| ([\w-]+) \| ([A-Z ]+) \| ([A-Z ]+) \|", README, flags=re.MULTILINE)
    tiny, reduced = (
        {claim["id"]: claim["verdict"] for claim in json.loads(path.read_text(encoding="utf-8"))["claims"]}
        for path in (ROOT / "reports" / "reference" / scale / "evidence.json" for scale in ("tiny", "reduced"))
    )
    assert {claim: verdicts for claim, *verdicts in written} == {
        claim: [verdict, reduced[claim]] for claim, verdict in tiny.items()
    }


def test_every_option_is_in_its_table(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("-p", "ilr.plugin", "--help")
    text = result.stdout.str()
    ours = text[text.index("trials of claims:") :].split("\n\n")[0]
    options = set(re.findall(r"^ +(--[\w-]+)", ours, flags=re.MULTILINE))
    assert len(options) > 10
    assert options == set(re.findall(r"`(--[\w-]+)`", README[README.index("## Options") : README.index("## Add")]))


def test_every_module_is_in_its_table() -> None:
    table = README[README.index("| module | job |") : README.index("Fused training is tested")]
    named = set(re.findall(r"`(\w+)/?`", table))
    modules = {path.stem for path in (ROOT / "ilr").glob("*.py")} | {"report"}
    assert named == modules - {"__init__", "version"}


def test_it_counts_the_sabotages() -> None:
    assert f"[docs/sabotage.md](docs/sabotage.md) {len(SABOTAGES)} ways" in README


def test_the_version_is_everywhere_the_same() -> None:
    assert f"version: {ilr.__version__}\n" in (ROOT / "CITATION.cff").read_text()
