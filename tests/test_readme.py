"""README, CONTRIBUTING and docs keep their word: commands exist, the example runs, tables are complete."""

import configparser
import json
import re
from pathlib import Path

import pytest

import ilr
from ilr.__main__ import main
from ilr.stats.decision import Verdict
from tests.claim_files import write_claim
from tests.conftest import Run
from tests.sabotage import SABOTAGES
from tests.sample_evidence import REPORTS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
MOST_BYTES = 20_000
"""README has what a user needs, and both tables of results; the rest is in docs/."""
CLAIM_ROW = re.compile(r"^\| ([\w-]+) \|.* \| ([A-Z ]+|—) \| ([A-Z ]+|—) \|$", flags=re.MULTILINE)
"""In README's table: the claim, and its verdicts at tiny and at reduced."""


def blocks(language: str, page: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


def test_it_is_short() -> None:
    assert len(README.encode()) <= MOST_BYTES


def test_the_example_is_a_complete_claim(pytester: pytest.Pytester) -> None:
    """As the command beside it writes it; tests/test_new.py holds the two equal."""
    _, contract = blocks("python", CONTRIBUTING)
    [command] = re.findall(r"^python -m ilr (new .*)$", CONTRIBUTING, flags=re.MULTILINE)
    assert main(command.split()) == 0
    folder = pytester.path / "your-folder"
    [plugin] = re.findall(r"`(pytest_plugins = .*?)`", CONTRIBUTING)
    assert (folder / "conftest.py").read_text(encoding="utf-8") == f"{plugin}\n"
    (folder / "test_contract.py").write_text(contract, encoding="utf-8")
    result = pytester.runpytest_subprocess(folder, "--store=store", "--report=report", "--workers=1")
    assert result.ret == pytest.ExitCode.OK
    assert result.parseoutcomes() == {"passed": 3}
    result.stdout.re_match_lines([r"REPRODUCED +norm-never-falls  controls sound 1/1"])


def test_its_plan_is_the_plan_that_is_printed(pytester: pytest.Pytester, run: Run) -> None:
    """The headers of both tables, and how each note begins; the numbers are those of another day."""
    write_claim(pytester.path / "claims", "reproduced", replicas=6)
    printed = run("--plan").stdout.str()
    [told] = blocks("text", (ROOT / "docs" / "full-scale.md").read_text(encoding="utf-8"))

    def headers(text: str) -> list[list[str]]:
        return [line.split() for line in text.splitlines() if line.startswith(("claim ", "GPUs "))]

    assert len(headers(told)) == 2
    assert headers(told) == headers(printed)
    for note in ("shared:", "here:", "H100:", "other GPUs:", "no number of GPUs takes less than"):
        assert f"\n{note}" in told
        assert f"\n{note}" in printed


def test_its_tox_environments_exist() -> None:
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    named = {}
    for page in (README, CONTRIBUTING):
        named[page] = {name for line in re.findall(r"tox -e ([\w,]+)", page) for name in line.split(",")}
    assert named[README] == {"tiny", "tests", "lint", "types"}
    assert named[README] | named[CONTRIBUTING] == {
        section.removeprefix("testenv:") for section in tox.sections() if ":" in section
    }


def test_ci_runs_its_test_command() -> None:
    assert "\ntox -e tests\n" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_it_links_to_is_there(page: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_claim_and_verdict_is_in_its_tables() -> None:
    written = {path.stem[5:].replace("_", "-") for path in (ROOT / "claims").glob("test_*.py")}
    claims_page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    assert {claim for claim, *_ in CLAIM_ROW.findall(README)} == written
    assert set(re.findall(r"^\| \[([\w-]+)\]", claims_page, flags=re.MULTILINE)) == written
    for verdict in Verdict:
        assert f"| {verdict} |" in README


def test_its_results_are_those_of_the_reference_reports() -> None:
    def verdicts(report: str) -> dict[str, str]:
        evidence = json.loads((ROOT / "reports" / "reference" / report / "evidence.json").read_text("utf-8"))
        return {claim["id"]: claim["verdict"] for claim in evidence["claims"]}

    written = CLAIM_ROW.findall(README)
    tiny, reduced, full = map(verdicts, REPORTS)
    # A claim that is newer than the reports, or trains at full alone, has a dash in place of a verdict.
    assert len(written) >= len(tiny)
    for claim, *told in written:
        assert told == [tiny.get(claim, "—"), reduced.get(claim, "—")], claim
    # At full so few claims have been run that a sentence names them.
    at_full = README.split("At [full]")[1].split(".")[0]
    assert set(full) == {word for word in at_full.split() if word in tiny}
    assert set(full.values()) == {word for word in at_full.split() if word in list(Verdict)}


def test_every_question_of_the_reviewers_is_answered_or_says_why_not() -> None:
    """The reviews have lists of 8, 11 and 3 questions; the rest of the first, third and fourth has no numbers."""
    rows = re.findall(r"^\| ([1-4](?:\.\d+)?) \| (.+) \| (.+) \|$", README, flags=re.MULTILINE)
    numbered = {(1, question) for question in range(1, 9)}
    numbered |= {(2, question) for question in range(1, 12)} | {(4, question) for question in range(1, 4)}
    assert {f"{review}.{question}" for review, question in numbered} | {"1", "3"} == {review for review, *_ in rows}
    claims = {claim for claim, *_ in CLAIM_ROW.findall(README)}
    for _, asked, answer in rows:
        named = answer.split(":")[0].split(", ")
        assert claims.issuperset(named) or answer.startswith(("not tested, because ", "this repository; ")), asked


def test_every_option_is_in_its_table(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("-p", "ilr.plugin", "--help")
    text = result.stdout.str()
    ours = text[text.index("trials of claims:") :].split("\n\n")[0]
    options = set(re.findall(r"^ +(--[\w-]+)", ours, flags=re.MULTILINE))
    assert len(options) > 10
    assert options == set(re.findall(r"`(--[\w-]+)`", README[README.index("## Options") : README.index("## Scales")]))


def test_every_module_is_in_its_table() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {}
    for room, modules in re.findall(r"^\| `ilr/?(\w*)` \|.*\| (.*) \|$", table, flags=re.MULTILINE):
        named[room] = set(re.findall(r"`(\w+)/?`", modules))
    rooms = [ROOT / "ilr", *(path.parent for path in (ROOT / "ilr").glob("*/__init__.py"))]
    for room in rooms:
        there = {path.stem for path in room.glob("*.py")} - {"__init__"}
        if room.name != "ilr":
            there |= {path.parent.name for path in room.glob("*/__init__.py")}
        assert named.pop(room.name.replace("ilr", "")) == there, room
    assert not named


def test_it_counts_the_sabotages() -> None:
    assert f"[docs/sabotage.md](docs/sabotage.md) {len(SABOTAGES)} ways" in README


def test_the_version_is_everywhere_the_same() -> None:
    assert f"version: {ilr.__version__}\n" in (ROOT / "CITATION.cff").read_text()
