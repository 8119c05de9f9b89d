"""The verdicts as JUnit XML, which continuous-integration services read."""

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from ilr.report.findings import rows
from ilr.report.text import printable
from ilr.stats.decision import Verdict

_OUTCOMES = {
    Verdict.REFUTED: "failure",
    Verdict.UNSOUND: "failure",
    Verdict.INCONCLUSIVE: "failure",
    Verdict.ERROR: "error",
    Verdict.NOT_RUN: "skipped",
}


def render_junit(evidence: Mapping[str, Any]) -> str:
    """One test case for each claim; all that is not REPRODUCED is a failure, an error or skipped, and says why."""
    claims = evidence["claims"]
    outcomes = [_OUTCOMES.get(Verdict(claim["verdict"])) for claim in claims]
    suite = ElementTree.Element(
        "testsuite",
        name="claims",
        tests=str(len(claims)),
        failures=str(outcomes.count("failure")),
        errors=str(outcomes.count("error")),
        skipped=str(outcomes.count("skipped")),
        time=f"{evidence['seconds']:.3f}",
        timestamp=printable(evidence["started"]),
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name in ("scale", "seed"):
        ElementTree.SubElement(properties, "property", name=name, value=printable(str(evidence[name])))
    for claim, outcome in zip(claims, outcomes, strict=True):
        case = ElementTree.SubElement(
            suite, "testcase", classname="claims", name=printable(claim["id"]), time=f"{claim['seconds']:.3f}"
        )
        if outcome:
            why = _why(claim)
            message = f"{claim['verdict']}: {why[0]}" if why else claim["verdict"]
            detail = ElementTree.SubElement(case, outcome, type=str(claim["verdict"]), message=printable(message))
            detail.text = printable("\n".join(why))
    suites = ElementTree.Element("testsuites", name="ilr")
    suites.append(suite)
    ElementTree.indent(suites, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _why(claim: Mapping[str, Any]) -> list[str]:
    """What kept the claim from REPRODUCED, the most telling line first."""
    message = claim["message"].strip()
    controls = [
        f"control {control['name']} is not sound: {control['verdict']}"
        for control in claim["controls"]
        if not control["sound"]
    ]
    findings = sorted(rows(claim["findings"]), key=lambda row: row.verdict == Verdict.REPRODUCED)
    return [*message.splitlines(), *controls, *(row.sentence for row in findings)]
