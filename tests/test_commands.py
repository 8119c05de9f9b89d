"""Every command and example of docs/tools.md and docs/ci runs, in a project with claims, reports and a store."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.claim_files import write_claim
from tests.conftest import LOADS_ILR

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "docs" / "tools.md", ROOT / "docs" / "ci" / "README.md")
WORKFLOW = yaml.safe_load((ROOT / "docs" / "ci" / "github-actions.yml").read_text(encoding="utf-8"))
STEPS = WORKFLOW["jobs"]["claims"]["steps"]


def told(language: str) -> list[str]:
    """What stands in the blocks of a language in all pages."""
    blocks = []
    for page in PAGES:
        blocks += re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return blocks


COMMANDS = [line for block in told("console") for line in block.splitlines()]
IN_WORKFLOW = [step["run"] for step in STEPS if step.get("run", "").startswith(("pytest", "python -m ilr"))]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A claim of its own, which the report of a run before has, too; the committed reports; a store in the cache."""
    folder = tmp_path_factory.mktemp("project")
    write_claim(folder / "claims", "reproduced")
    (folder / "claims" / "conftest.py").write_text(LOADS_ILR)
    shutil.copytree(ROOT / "reports" / "reference", folder / "reports" / "reference")
    assert run("pytest claims", folder).returncode == 0
    return folder


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(command)
    words = [sys.executable, *(arguments if program == "python" else ["-m", program, *arguments])]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


ELSEWHERE = {
    "tox -e": "tests/test_readme.py: the environments exist; CI runs them",
    "pytest claims/ --scale=full -k": "reports/reference/full is what it made",
    "pytest claims/ --scale=full --": "tests/test_readme.py and tests/dryrun: the same options at tiny",
    "$ python -m benchmarks.gpu_check": "tests/test_gpu_check.py: the same command at toy sizes on a CPU",
    "python -m benchmarks.arithmetic": "tests/test_arithmetic_benchmark.py: the same command of one claim",
    "python -m ilr report reports/tiny": "below: in a project that has it",
    "python -m ilr claims --check": "below: in a project that has it",
    "python -m ilr new": "tests/test_readme.py: with what it writes",
    "pytest your-folder": "tests/test_readme.py: with what it writes",
    "python -m ilr pilot": "tests/test_extending.py: every command of the page",
    "python -m ilr matrix": "tests/test_extending.py: every command of the page",
    "python -m pytest tests/stats": "CI runs all of tests/",
    "pytest claims --scale=": "tests/lab/test_slurm.py: the same engine, on a Slurm of one node",
    "apptainer exec": "tests/session/test_options.py: the option; no container is at hand",
    "python -m pip install": "an installation",
    "pre-commit install": "an installation",
}
"""Commands of other pages, by how they begin, and what tries them."""


def test_every_command_of_every_page_is_tried_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    found = set()
    for page in set(pages) - set(PAGES):
        for block in re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
            for line in block.replace("\\\n", "").splitlines():
                beginnings = [beginning for beginning in ELSEWHERE if line.startswith(beginning)]
                assert beginnings, f"{page.name}: {line}"
                found.update(beginnings)
    assert found == set(ELSEWHERE)


@pytest.mark.parametrize(
    "command", ["python -m ilr report reports/tiny", "python -m ilr claims --check reports/tiny/evidence.json"]
)
def test_a_command_of_readme_runs(command: str, project: Path) -> None:
    ended = run(command, project)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_pages_have_commands() -> None:
    commands = {command.split()[3] for command in COMMANDS if command.startswith("python -m ilr")}
    assert commands == {"compare", "index", "export", "store"}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_pages_runs(command: str, project: Path) -> None:
    # A comparison of two scales has the status 1 where a verdict differs.
    allowed = (0, 1) if "compare" in command else (0,)
    ended = run(command, project)
    assert ended.returncode in allowed, ended.stdout + ended.stderr
    assert ended.stdout


def test_examples_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    [example] = told("python")
    # Besides imports and a blank line, as many lines as they are said to be.
    names: dict[str, object] = {}
    exec(example, names)
    rows = names["rows"]
    assert isinstance(rows, list)
    assert len(rows) > 100
    assert {"claim", "finding", "estimate"} <= set(rows[0])


def test_the_package_for_figures_is_an_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [re.split(r"\W", one)[0] for one in extras["figures"]] == ["typst"]


# --- the workflow


def test_the_workflow_is_one() -> None:
    # YAML 1.1, which this parser reads, takes the key `on` for true.
    assert set(WORKFLOW) == {"name", True, "jobs"}
    for step in STEPS:
        assert ("uses" in step) != ("run" in step)
        assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/none@v1"))


def test_the_store_is_cached_by_its_key() -> None:
    [key] = [step for step in STEPS if step.get("id") == "store"]
    assert "$(python -m ilr store key)" in key["run"]
    [cache] = [step["with"] for step in STEPS if step.get("uses", "").startswith("actions/cache@")]
    assert "${{ steps.store.outputs.key }}" in cache["key"]
    assert cache["key"].startswith(cache["restore-keys"])
    assert any(f"--store={cache['path']}" in command for command in IN_WORKFLOW)


def test_the_commands_of_the_workflow_run_in_order(project: Path, tmp_path: Path) -> None:
    """In a project whose committed report is of its own claims."""
    shutil.copytree(project / "claims", tmp_path / "claims")
    shutil.copytree(project / "reports" / "tiny", tmp_path / "reports" / "reference" / "tiny")
    assert len(IN_WORKFLOW) == 2
    for command in IN_WORKFLOW:
        ended = run(command, tmp_path)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    [artefact] = [step["with"]["path"] for step in STEPS if step.get("uses", "").startswith("actions/upload-artifact@")]
    for name in ("summary.md", "junit.xml", "badge.svg", "comparison.html"):
        assert (tmp_path / artefact / name).is_file()
    [summary] = [step["run"] for step in STEPS if "GITHUB_STEP_SUMMARY" in step.get("run", "")]
    assert (tmp_path / summary.split()[1]).is_file()


# --- exit statuses


def test_every_exit_status_of_pytest_is_told() -> None:
    page = PAGES[1].read_text(encoding="utf-8")
    of_pytest, of_ilr = page.split("| of `python -m ilr` |")
    assert [int(status) for status in re.findall(r"^\| (\d) \|", of_pytest, flags=re.MULTILINE)] == [
        *sorted(int(code) for code in pytest.ExitCode)
    ][:6]
    assert re.findall(r"^\| (\d) \|", of_ilr, flags=re.MULTILINE) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["claims"], 0),
        (["claims", "--seed=x"], 4),
        (["claims", "-k", "nothing-of-that-name"], 5),
    ],
)
def test_exit_statuses_are_as_told(arguments: list[str], status: int, project: Path) -> None:
    assert run(shlex.join(["pytest", *arguments]), project).returncode == status


def test_a_claim_that_is_not_reproduced_is_status_1_and_one_without_control_2(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(LOADS_ILR)
    path = write_claim(tmp_path / "claims", "refuted", expected=5.0)
    assert run("pytest claims --workers=1", tmp_path).returncode == 1
    text = path.read_text()
    path.write_text(text.replace('controls=(Control("decay", "No weight decay."),)', "controls=()"))
    assert run("pytest claims --workers=1", tmp_path).returncode == 2
