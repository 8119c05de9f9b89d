"""The verdicts as JUnit XML, which continuous-integration services read."""

from xml.etree import ElementTree

from ilr.report.evidence import ClaimEvidence, Evidence
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
    """One test case for each claim; all that is not REPRODUCED is a failure, an error or skipped, and says why."""
    outcomes = [_OUTCOMES.get(claim.verdict) for claim in evidence.claims]
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
    properties = ElementTree.SubElement(suite, "properties")
    facts = {"scale": evidence.scale, "seed": str(evidence.seed)}
    if not all(claim.as_registered for claim in evidence.claims):
        facts["replicas"] = "given on the command line: one look, not registered"
    for name, value in facts.items():
        ElementTree.SubElement(properties, "property", name=name, value=printable(value))
    for claim, outcome in zip(evidence.claims, outcomes, strict=True):
        case = ElementTree.SubElement(
            suite, "testcase", classname="claims", name=printable(claim.id), time=f"{claim.seconds:.3f}"
        )
        if outcome:
            why = _why(claim)
            message = f"{claim.verdict}: {why[0]}" if why else claim.verdict
            detail = ElementTree.SubElement(case, outcome, type=str(claim.verdict), message=printable(message))
            detail.text = printable("\n".join(why))
    suites = ElementTree.Element("testsuites", name="ilr")
    suites.append(suite)
    ElementTree.indent(suites, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _why(claim: ClaimEvidence) -> list[str]:
    """What kept the claim from REPRODUCED, the most telling line first."""
    lines = claim.message.strip().splitlines()
    for control in claim.controls:
        if not control.sound:
            lines.append(f"control {control.name} is not sound: {control.verdict}")
    # Sorting is stable: what was reproduced moves behind the rest, and nothing else changes its place.
    texts = sorted(finding_texts(claim.findings), key=lambda text: text.finding.verdict is Verdict.REPRODUCED)
    return lines + [text.sentence for text in texts]
