"""The verdicts as JUnit XML, which continuous-integration services read."""

from collections.abc import Iterable, Iterator
from xml.etree import ElementTree

from ilr.report.evidence import ClaimEvidence, Evidence, Range
from ilr.report.findings import finding_texts
from ilr.report.text import printable
from ilr.stats.decision import Verdict

_OUTCOMES = {
    Verdict.REFUTED: "failure",
    Verdict.UNSOUND: "failure",
    Verdict.INCONCLUSIVE: "failure",
    Verdict.ERROR: "error",
    Verdict.NOT_RUN: "skipped",
}


def render_junit(evidence: Evidence) -> str:
    """One test case for each claim; all that is not REPRODUCED is a failure, an error or skipped, and says why.

    What the run allowed is no failure: with --allow-inconclusive an INCONCLUSIVE claim is skipped. Every test case has
    its numbers as properties.
    """
    outcomes = [_outcome(claim, evidence) for claim in evidence.claims]
    suite = ElementTree.Element(
        "testsuite",
        name="claims",
        tests=str(len(outcomes)),
        failures=str(outcomes.count("failure")),
        errors=str(outcomes.count("error")),
        skipped=str(outcomes.count("skipped")),
        time=f"{evidence.seconds:.3f}",
        timestamp=evidence.started.isoformat(timespec="seconds"),
    )
    facts = {"scale": evidence.scale, "seed": str(evidence.seed)}
    if evidence.invocation.command:
        facts["command"] = evidence.invocation.command
    if not all(claim.as_registered for claim in evidence.claims):
        facts["replicas"] = "given on the command line: one look, not registered"
    if longer := [claim.id for claim in evidence.claims if claim.literal]:
        facts["literal"] = f"the paper's lengths for {', '.join(longer)}"
    if varied := sum(bool(claim.variation) for claim in evidence.claims):
        facts["variation"] = f"{varied} of {len(evidence.claims)} claims under other choices than they register"
    _add_properties(suite, facts.items())
    for claim, outcome in zip(evidence.claims, outcomes, strict=True):
        case = ElementTree.SubElement(
            suite, "testcase", classname="claims", name=printable(claim.id), time=f"{claim.seconds:.3f}"
        )
        _add_properties(case, _numbers(claim))
        if outcome:
            why = _why(claim)
            message = f"{claim.verdict}: {why[0]}" if why else claim.verdict
            detail = ElementTree.SubElement(case, outcome, type=str(claim.verdict), message=printable(message))
            detail.text = printable("\n".join(why))
    suites = ElementTree.Element("testsuites", name="ilr")
    suites.append(suite)
    ElementTree.indent(suites, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _outcome(claim: ClaimEvidence, evidence: Evidence) -> str | None:
    if claim.verdict is Verdict.INCONCLUSIVE and "--allow-inconclusive" in evidence.invocation.overrides:
        return "skipped"
    return _OUTCOMES.get(claim.verdict)


def _add_properties(element: ElementTree.Element, facts: Iterable[tuple[str, str]]) -> None:
    properties = ElementTree.SubElement(element, "properties")
    for name, value in facts:
        ElementTree.SubElement(properties, "property", name=printable(name), value=printable(value))


def _numbers(claim: ClaimEvidence) -> Iterator[tuple[str, str]]:
    """The claim's verdict and numbers, each with all its digits: "low high" for a range, an open end as inf."""
    yield "verdict", str(claim.verdict)
    if claim.looks:
        yield "look", f"{len(claim.looks)} of {len(claim.looks_planned)}"
        yield "n", str(claim.looks[-1].n)
    for finding in claim.findings:
        yield f"{finding.name}: verdict", str(finding.verdict)
        yield f"{finding.name}: estimate", repr(finding.estimate)
        yield f"{finding.name}: interval", _ends(finding.interval)
        yield f"{finding.name}: accepted", _ends(finding.accepted)
        yield f"{finding.name}: n", str(finding.n)
    for control in claim.controls:
        yield f"control {control.name}", f"{control.verdict}, {'sound' if control.sound else 'not sound'}"


def _ends(ends: Range) -> str:
    low, high = ends
    return f"{'-inf' if low is None else repr(low)} {'inf' if high is None else repr(high)}"


def _why(claim: ClaimEvidence) -> list[str]:
    """What kept the claim from REPRODUCED, the most telling line first."""
    lines = claim.message.strip().splitlines()
    for control in claim.controls:
        if not control.sound:
            lines.append(f"control {control.name} is not sound: {control.verdict}")
    # Sorting is stable: what was reproduced moves behind the rest, and nothing else changes its place.
    texts = sorted(finding_texts(claim.findings), key=lambda text: text.finding.verdict is Verdict.REPRODUCED)
    return lines + [text.sentence for text in texts]
