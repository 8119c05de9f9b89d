"""Every exit status of the table in docs/tools.md, provoked."""

from pathlib import Path

import pytest

from ilr.__main__ import main
from ilr.commands import matrix
from tests.claim_files import VARIANTS, write_claim
from tests.conftest import Run

PAGE = (Path(__file__).parents[1] / "docs" / "tools.md").read_text(encoding="utf-8")
HEADER, _, *ROWS = (
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.partition("## Exit statuses\n\n")[2].partition("\n\n")[0].splitlines()
)
TOLD = {
    (row[0].strip("`"), int(status))
    for row in ROWS
    for status, cell in zip(HEADER[1:], row[1:], strict=True)
    if cell != "–"
}
"""Command and status of every cell that says something."""

SEED = "--seed=1"
PYTEST: dict[int, list[tuple[tuple[str, ...], list[str]]]] = {
    0: [(("reproduced", "not-run", "undecided"), ["--allow-inconclusive"])],
    1: [(("reproduced", "refuted"), []), (("undecided",), []), (("reproduced",), ["--no-train"])],
    2: [(("unreadable",), [])],
    4: [(("reproduced",), ["--seed=x"]), (("reproduced",), ["absent"])],
    5: [(("reproduced",), ["-k", "none"])],
}
"""By status, claims and options that end so."""


@pytest.mark.parametrize(
    ("claims", "options", "status"),
    [(claims, options, status) for status, cases in PYTEST.items() for claims, options in cases],
    ids=lambda value: str(value) if isinstance(value, int) else " ".join(value),
)
def test_pytest_ends_as_the_table_says(
    claims: tuple[str, ...], options: list[str], status: int, pytester: pytest.Pytester, run: Run
) -> None:
    variants = VARIANTS | {"undecided": {"replicas": 2}}
    for name in claims:
        path = write_claim(pytester.path / "claims", name, **variants.get(name, {}))
        if name == "unreadable":
            path.write_text(f"{path.read_text()}\n1 / 0\n")
    assert run(SEED, *options).ret == status
    assert ("pytest claims", status) in TOLD


def test_ctrl_c_is_status_2(pytester: pytest.Pytester, run: Run) -> None:
    path = write_claim(pytester.path / "claims", "reproduced")
    path.write_text(path.read_text().replace("    trial.must", "    raise KeyboardInterrupt\n    trial.must"))
    # By which the fixture tells of that status, and of no other.
    with pytest.raises(KeyboardInterrupt):
        run(SEED)


NEW, PILOT = ["new", "one", "--to=claims"], ["pilot", "claims/test_grows.py", "--engine=in-process", "--store=store"]
REFUSED = [*PILOT, "--seed=0"]
CHECK = ["claims", "claims", "--check", "reports/tiny/evidence.json"]
COMMANDS: dict[tuple[str, int], list[list[list[str]]]] = {
    ("ilr new", 0): [[NEW]],
    ("ilr new", 2): [[["new", "No Id"]], [NEW, NEW]],
    ("ilr pilot", 0): [[[*PILOT, SEED]]],
    ("ilr pilot", 2): [[["pilot", "absent.py"]], [[*PILOT, "--seed=x"]], [REFUSED]],
    ("ilr claims --check", 2): [[["claims", "claims", "--check", "absent.json"]]],
}
"""By command and status, commands that end so in a folder with a claim that was judged on seed 0."""


@pytest.mark.parametrize(
    ("command", "status", "lines"), [(*key, lines) for key, cases in COMMANDS.items() for lines in cases]
)
def test_a_command_ends_as_the_table_says(
    command: str, status: int, lines: list[list[str]], pytester: pytest.Pytester, run: Run
) -> None:
    write_claim(pytester.path / "claims", "grows")
    if lines == [REFUSED]:
        run("--seed=0")
    assert [main(line) for line in lines][-1] == status
    assert (command, status) in TOLD


def test_a_check_ends_as_the_table_says(pytester: pytest.Pytester, run: Run) -> None:
    path = write_claim(pytester.path / "claims", "grows")
    run()
    assert main(CHECK) == 0
    text = path.read_text()
    path.write_text(text.replace('"at_least", 0.9', '"at_least", 0.8'))
    assert main(CHECK) == 1
    path.unlink()
    path.with_name("test_other.py").write_text(text.replace("grows", "other"))
    assert main(CHECK) == 1


@pytest.mark.parametrize(
    ("options", "status"),
    [([], 0), (["-k", "none"], 1), (["--norm=nothing"], 2), (["--seed=x"], 4)],
)
def test_a_matrix_ends_as_the_table_says(
    options: list[str], status: int, pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_claim(pytester.path / "claims", "refuted", **VARIANTS["refuted"])

    def run_here(arguments: list[str], variation: object, report: Path) -> int:
        return int(run(*arguments[1:], *str(variation).split(), f"--report={report}").ret)

    monkeypatch.setattr(matrix, "_run", run_here)
    norm, rest = ([], options) if options[:1] != ["--norm=nothing"] else (options, [])
    assert main(["matrix", *(norm or ["--momentum=own"]), "--to=here", "--", "claims", *rest]) == status
    assert ("ilr matrix", status) in TOLD


def test_the_table_tells_of_nothing_else() -> None:
    pytests = {("pytest claims", status) for status in PYTEST}
    matrices = {("ilr matrix", status) for status in (0, 1, 2, 4)}
    checks = {("ilr claims --check", status) for status in (0, 1)}
    assert {*COMMANDS, *pytests, *matrices, *checks} == TOLD
