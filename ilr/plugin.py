"""The pytest plugin: claims are collected as tests, trained together before the first one runs, reported at the end."""

from collections.abc import Generator
from typing import TYPE_CHECKING, NoReturn

import pytest

# Only what is light: pytest loads this plugin in every run, for claims or not.
from ilr.session.options import BadOptionError, Options, check
from ilr.stats.decision import Verdict
from ilr.trials.outcome import InconclusiveError, JudgedClaim

if TYPE_CHECKING:
    from rich.console import Console

    from ilr.dryrun.budget import Budget
    from ilr.dryrun.rehearsal import Rehearsal
    from ilr.session.session import Session

OPTIONS = pytest.StashKey[Options]()
SESSION: pytest.StashKey["Session"] = pytest.StashKey()
BUDGET: pytest.StashKey["Budget"] = pytest.StashKey()
REHEARSAL: pytest.StashKey["Rehearsal"] = pytest.StashKey()

REHEARSED = "REHEARSED"
"""In a test's report in place of a verdict."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of `pytest claims/`; their values are checked in `ilr.session.options`."""
    group = parser.getgroup("ilr", "trials of claims")
    group.addoption("--scale", default="tiny", help="size of nets and data: tiny (default), reduced or full")
    group.addoption("--seed", default="0", help="root seed of every replica (default: 0)")
    group.addoption("--replicas", help="replicas per group, in place of each claim's own number")
    group.addoption("--device", help="torch device, such as cpu, cuda:0 or cuda, all GPUs (default: those there are)")
    group.addoption("--engine", default="processes", help="who trains: processes (default) or in-process")
    group.addoption("--workers", help="worker processes (default: one for each GPU, or each CPU core)")
    group.addoption("--data-root", help="folder with the files of data sets that do not ship with a package")
    group.addoption("--store", help="folder of recordings, which are never trained twice (default: the user's cache)")
    group.addoption("--report", help="folder for evidence.json, index.html and junit.xml (default: reports/<scale>)")
    group.addoption("--plan", action="store_true", help="say what a run would cost, on GPUs too; train nothing")
    group.addoption(
        "--rehearse", action="store_true", help="train a few steps of everything at true shapes, for no verdict"
    )
    group.addoption("--no-train", action="store_true", help="judge what the store has; train nothing")
    group.addoption("--refresh", action="store_true", help="train again what the store has")
    group.addoption("--allow-inconclusive", action="store_true", help="do not let an INCONCLUSIVE claim fail the run")


def pytest_configure(config: pytest.Config) -> None:
    """Checks the options before anything is collected."""
    try:
        config.stash[OPTIONS] = check(config.option)
    except BadOptionError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Gathers the selected claims and plans their training, or their cost, or their rehearsal, together."""
    modules = {
        item.nodeid: item.module for item in session.items if isinstance(item, pytest.Function) and _is_claim(item)
    }
    if not modules or session.testsfailed:
        return
    if hasattr(session.config, "workerinput"):
        raise pytest.UsageError("-n: claims train in --workers processes of their own; run them without pytest-xdist")
    from ilr.data.catalog import DataUnavailableError
    from ilr.dryrun.budget import Budget
    from ilr.dryrun.rehearsal import Rehearsal
    from ilr.session.session import Session
    from ilr.trials.claim_file import ClaimFileError

    options, stash = session.config.stash[OPTIONS], session.config.stash
    try:
        if options.plan:
            stash[BUDGET] = Budget(options, modules)
        elif options.rehearse:
            stash[REHEARSAL] = Rehearsal(options, modules)
        else:
            stash[SESSION] = Session(options, session.config.rootpath, modules)
    except (ClaimFileError, DataUnavailableError) as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Trains everything the selected claims need, before the first of them is judged; a plan ends here."""
    stash = session.config.stash
    if session.config.option.collectonly or session.testsfailed:
        return None
    if not stash[OPTIONS].plan and SESSION not in stash and REHEARSAL not in stash:
        return None
    from rich.console import Console

    console = Console()
    if stash[OPTIONS].plan:
        session.testsfailed += _show_plan(stash.get(BUDGET, None), console)
        return True
    if claims := stash.get(SESSION, None):
        claims.train(console)
    if rehearsal := stash.get(REHEARSAL, None):
        rehearsal.run(console)
    return None


def _show_plan(budget: "Budget | None", console: "Console") -> int:
    """Prints what a run costs and gives the number of claims that cannot be planned."""
    if budget is None:
        console.print("No claim is selected: there is nothing to plan.")
        return 0
    from ilr.dryrun.budget import show

    show(budget, console)
    return len(budget.reasons("error"))


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> JudgedClaim:
    """The claim of the requesting test's file, judged."""
    if rehearsal := request.config.stash.get(REHEARSAL, None):
        _rehearsed(rehearsal, request.node)
    outcome = request.config.stash[SESSION].judge(request.node.nodeid)
    # Raised while setting up, so that pytest itself tells an ERROR from a claim that failed.
    if outcome.verdict is Verdict.ERROR:
        pytest.fail(f"{outcome.claim.id}: {outcome.message}", pytrace=False)
    if outcome.verdict is Verdict.NOT_RUN:
        pytest.skip(outcome.message)
    return JudgedClaim(outcome)


def _rehearsed(rehearsal: "Rehearsal", item: pytest.Item) -> NoReturn:
    """Ends a claim's test before it begins, with what its rehearsal found."""
    if reason := rehearsal.not_run(item.nodeid):
        pytest.skip(reason)
    if failures := rehearsal.failures[item.nodeid]:
        pytest.fail("\n".join(failures), pytrace=False)
    item.user_properties.append(("verdict", REHEARSED))
    pytest.skip("rehearsed, not judged")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Marks the report of an INCONCLUSIVE claim, which fails the run unless that is allowed."""
    report = yield
    if call.excinfo is not None and call.excinfo.errisinstance(InconclusiveError):
        report.longrepr = str(call.excinfo.value)
        report.user_properties.append(("verdict", Verdict.INCONCLUSIVE.value))
        if item.config.stash[OPTIONS].allow_inconclusive:
            report.outcome = "passed"
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """INCONCLUSIVE has a letter and a word of its own, and so has a rehearsal."""
    if report.when == "setup" and ("verdict", REHEARSED) in report.user_properties:
        return "rehearsed", "R", REHEARSED
    if report.when == "call" and ("verdict", Verdict.INCONCLUSIVE.value) in report.user_properties:
        return "inconclusive", "I", "INCONCLUSIVE"
    return None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the report of what was judged."""
    claims = session.config.stash.get(SESSION, None)
    if claims is not None and claims.outcomes:
        from ilr.report import write_report

        write_report(claims.evidence(), claims.report)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The verdicts in one table, and where the report is; or what was rehearsed."""
    if rehearsal := config.stash.get(REHEARSAL, None):
        from ilr.dryrun.rehearsal import show

        terminalreporter.section("rehearsal: no verdicts")
        for line in show(rehearsal):
            terminalreporter.write_line(line)
    claims = config.stash.get(SESSION, None)
    if claims is None or not claims.outcomes:
        return
    terminalreporter.section("verdicts")
    for outcome in claims.outcomes.values():
        sound = sum(control.sound for control in outcome.controls)
        controls = f"  controls sound {sound}/{len(outcome.controls)}" if outcome.controls else ""
        terminalreporter.write_line(f"{outcome.verdict.value:<13} {outcome.claim.id}{controls}")
        if outcome.message:
            terminalreporter.write_line(f"{'':<13} {outcome.message}")
    terminalreporter.write_line(f"report: {claims.report / 'index.html'}")


def _is_claim(item: pytest.Function) -> bool:
    return "trial" in item.fixturenames and hasattr(item.module, "CLAIM")
