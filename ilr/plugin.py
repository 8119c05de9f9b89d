"""The pytest plugin: claims are collected as tests, trained together before the first one runs, reported at the end.

It is loaded where claims are run, by a line in the conftest.py beside them or by `-p ilr.plugin`; to install ilr adds
nothing to pytest.
"""

import sys
from collections.abc import Generator, Iterable
from contextlib import ExitStack
from shutil import get_terminal_size
from types import ModuleType
from typing import TYPE_CHECKING, TypeGuard

import pytest

from ilr.session.mode import Mode
from ilr.session.options import BadOptionError, Options, check, flag, table

# Only what is light: unit tests beside the claims load this plugin, too.
from ilr.session.process import replace_unprintable, terminable
from ilr.stats.decision import Verdict

if TYPE_CHECKING:
    from ilr.trials.outcome import JudgedClaim

OPTIONS = pytest.StashKey[Options]()
MODE = pytest.StashKey[Mode]()
"""What is done with the claims; not there where none is selected."""

INTERRUPTED = pytest.StashKey[bool]()
"""Whether the run was ended while its report was written."""

XDIST = "-n: claims train in --workers processes of their own; run them without pytest-xdist"

REHEARSED = "REHEARSED"
"""In a test's report in place of a verdict."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of `pytest claims/`, from the table in `ilr.session.options`."""
    group = parser.getgroup("ilr", "trials of claims")
    for name, option in table().items():
        action = "append" if option.repeated else "store_true" if option.check is bool else "store"
        group.addoption(flag(name), dest=name, action=action, help=option.help)


def pytest_configure(config: pytest.Config) -> None:
    """Checks the options before anything is collected."""
    try:
        config.stash[OPTIONS] = check(config.option)
    except BadOptionError as error:
        raise pytest.UsageError(str(error)) from None
    _refuse_xdist(config)
    if config.stash[OPTIONS].plan_json:
        # Nothing of pytest's own, so that what is printed is JSON.
        config.option.verbose = -2


def _refuse_xdist(config: pytest.Config) -> None:
    """One line where pytest-xdist would share out the tests of claims: each of its workers would train them all."""
    shared_out = getattr(config.option, "numprocesses", None) or getattr(config.option, "dist", "no") != "no"
    if not shared_out or hasattr(config, "workerinput"):
        return
    from ilr.trials.registration import holds_claim

    for given in config.args:
        if holds_claim(config.invocation_params.dir / given.partition("::")[0]):
            raise pytest.UsageError(XDIST)


def pytest_report_header() -> str | None:
    """A word on platforms that nobody has tried."""
    if sys.platform.startswith(("linux", "darwin")):
        return None
    return f"ilr is tried on Linux and macOS, not on {sys.platform}; on Windows, use WSL 2"


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A claim's file that cannot be imported, or whose claim no test would judge, is one line."""
    try:
        report = yield
    except SystemExit as error:
        return pytest.CollectReport(collector.nodeid, "failed", f"{collector.nodeid}: it exits ({error})", [])
    if isinstance(collector, pytest.Module) and (complaint := _complaint(collector, report)):
        report.outcome, report.longrepr, report.result = "failed", complaint, []
    return report


def _complaint(collector: pytest.Module, report: pytest.CollectReport) -> str:
    """What is wrong with a claim's file, in one line; empty where nothing is, and for files without a claim."""
    call: pytest.CallInfo[object] | None = getattr(report, "call", None)
    if call is not None and call.excinfo is not None and report.failed:
        from ilr.trials.judging import described
        from ilr.trials.registration import holds_claim

        # pytest wraps what an import has raised.
        error = call.excinfo.value.__cause__ or call.excinfo.value
        told = described(error)
        if type(error).__name__ == "ImportPathMismatchError":
            told = f"{error.args[1]} is called the same: claims need ids, and files, of their own: rename one of them"
        return f"{collector.path}: {told}" if holds_claim(collector.path) else ""
    # Not what other plugins make of the same file, as for --doctest-modules.
    claim = getattr(collector.obj, "CLAIM", None) if report.passed and type(collector) is pytest.Module else None
    if type(claim).__module__ != "ilr.trials.claim":
        return ""
    # A class may hold the test: it is collected later.
    tests = [one for one in report.result if not isinstance(one, pytest.Function) or "trial" in one.fixturenames]
    return "" if tests else f"{collector.path}: no test takes the fixture `trial`, so nothing would judge its claim"


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Gathers the selected claims and plans their training, or their cost, or their rehearsal, together."""
    options, modules = session.config.stash[OPTIONS], _claims(session.items)
    if session.testsfailed and not modules:
        return
    if modules:
        # A file that cannot be read is an ERROR of its own, and costs the other claims nothing.
        session.config.option.continue_on_collection_errors = True
    # A plan says so where there is nothing to plan; otherwise other people's tests are left alone.
    if not modules and not (options.plan or options.plan_json):
        return
    if hasattr(session.config, "workerinput"):
        raise pytest.UsageError(XDIST)
    # From here to the end: a run can be ended while it plans, trains, judges or draws.
    ending = ExitStack()
    ending.enter_context(terminable())
    session.config.add_cleanup(ending.close)
    mode = _mode(options)
    from ilr.data.catalog import DataUnavailableError
    from ilr.session.selection import Selection
    from ilr.trials.claim import ClaimFileError

    try:
        session.config.stash[MODE] = mode(Selection.of(options, session.config.rootpath, modules))
    except (BadOptionError, ClaimFileError, DataUnavailableError) as error:
        raise pytest.UsageError(str(error)) from None


def _claims(items: Iterable[pytest.Item]) -> dict[str, ModuleType]:
    """The modules of the tests that judge a claim, by the ids of these tests."""
    modules = {}
    for item in items:
        if _judges(item):
            if hasattr(item, "callspec"):
                raise pytest.UsageError(f"{item.nodeid}: the test of a claim takes no parameters, it is judged once")
            modules[item.nodeid] = item.module
    return modules


def _judges(item: pytest.Item) -> TypeGuard[pytest.Function]:
    """Whether a test is one that judges a claim."""
    return isinstance(item, pytest.Function) and "trial" in item.fixturenames and hasattr(item.module, "CLAIM")


def _mode(options: Options) -> type[Mode]:
    """What the options ask for; imported no earlier, because that takes torch."""
    if options.plan:
        from ilr.dryrun.planning import Planning

        return Planning
    if options.plan_json:
        from ilr.dryrun.planning_json import PlanningAsJson

        return PlanningAsJson
    if options.rehearse:
        from ilr.dryrun.rehearsal import Rehearsal

        return Rehearsal
    from ilr.session.session import Session

    return Session


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Trains everything the selected claims need, before the first of them is judged; a plan ends here."""
    mode = session.config.stash.get(MODE, None)
    if mode is None or session.config.option.collectonly or session.shouldfail or session.shouldstop:
        return None
    from rich.console import Console

    from ilr.lab.engines.engine import EngineError
    from ilr.lab.store import StoreError

    replace_unprintable()
    try:
        session.testsfailed += mode.prepare(Console())
    except (EngineError, StoreError) as error:
        raise pytest.UsageError(str(error)) from None
    if mode.tests_follow:
        return None
    for line in mode.selection.broken.values():
        print(f"ERROR: {line}", file=sys.stderr)
    session.testsfailed += len(mode.selection.broken)
    return True


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> "JudgedClaim":
    """The claim of the requesting test's file, judged."""
    mode = request.config.stash[MODE]
    if broken := mode.selection.broken.get(request.node.nodeid):
        pytest.fail(broken, pytrace=False)
    outcome = mode.outcome(request.node.nodeid)
    if outcome is None:
        request.node.user_properties.append(("verdict", REHEARSED))
        pytest.skip("rehearsed, not judged")
    # Raised while setting up, so that pytest itself tells an ERROR from a claim that failed.
    if outcome.verdict is Verdict.ERROR:
        pytest.fail(f"{outcome.claim.id}: {outcome.message}", pytrace=False)
    if outcome.verdict is Verdict.NOT_RUN:
        pytest.skip(outcome.message)
    from ilr.trials.outcome import JudgedClaim

    return JudgedClaim(outcome)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fails the test of a claim that does not hold, even if its test lets it pass.

    An INCONCLUSIVE claim has a mark of its own, and fails the run unless that is allowed.
    """
    report = yield
    if not _judges(item):
        return report
    # By `xfail` an ERROR would be expected, or a REFUTED claim; nothing would tell that from success.
    if hasattr(report, "wasxfail") and report.skipped and call.excinfo is not None:
        del report.wasxfail
        report.outcome, report.longrepr = "failed", str(call.excinfo.value)
    from ilr.trials.outcome import InconclusiveError, JudgedClaim, described

    judged = item.funcargs.get("trial")
    if report.when != "call" or not isinstance(judged, JudgedClaim):
        return report
    outcome = judged.outcome
    asked = call.excinfo is not None and call.excinfo.errisinstance(InconclusiveError)
    if asked or (outcome.verdict is Verdict.INCONCLUSIVE and not report.failed):
        report.longrepr = described(outcome)
        report.user_properties.append(("verdict", Verdict.INCONCLUSIVE.value))
        report.outcome = "passed" if item.config.stash[OPTIONS].allow_inconclusive else "failed"
    elif outcome.verdict is not Verdict.REPRODUCED and not report.failed:
        report.outcome, report.longrepr = "failed", described(outcome)
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
    mode = session.config.stash.get(MODE, None)
    if mode is None:
        return
    try:
        finished = mode.finish()
    except KeyboardInterrupt:
        # Here pytest would let it pass as a traceback. What is lost is the report, which the same command writes.
        session.config.stash[INTERRUPTED] = True
        session.exitstatus = pytest.ExitCode.INTERRUPTED
        return
    if not finished and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """The verdicts in one table, and where the report is; or what was rehearsed."""
    mode = config.stash.get(MODE, None)
    verbose = config.option.verbose > 0
    if mode is not None and (lines := list(mode.summary(get_terminal_size().columns, verbose=verbose))):
        terminalreporter.section(mode.heading)
        for line in lines:
            terminalreporter.write_line(line)
    interrupted = exitstatus == pytest.ExitCode.INTERRUPTED or config.stash.get(INTERRUPTED, False)
    if mode is not None and interrupted and mode.interrupted:
        terminalreporter.write_line(mode.interrupted)
