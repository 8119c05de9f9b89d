"""Conclusions as sentences, each made from a verdict and the findings behind it: nothing here is known beforehand."""

from collections.abc import Sequence

from ilr.report.evidence import ClaimEvidence, ControlEvidence, FindingEvidence
from ilr.report.findings import FindingText, finding_texts
from ilr.report.page.common_scale import nearest_first
from ilr.report.text import plural, printable
from ilr.stats.decision import Verdict

VERBS = {
    Verdict.REPRODUCED: "reproduced",
    Verdict.REFUTED: "refuted",
    Verdict.INCONCLUSIVE: "undecided",
    Verdict.UNSOUND: "unsound",
    Verdict.ERROR: "not judged, by an error",
    Verdict.NOT_RUN: "not run",
}
ALWAYS_COUNTED = (Verdict.REPRODUCED, Verdict.INCONCLUSIVE, Verdict.REFUTED)


def of_run(claims: Sequence[ClaimEvidence], shaken: Sequence[ClaimEvidence]) -> str:
    """The run in a sentence: "14 of 18 claims reproduced, 4 undecided, 0 refuted; 8 also stand jointly."."""
    if not claims:
        return "0 claims were judged."
    counts = {verdict: sum(claim.verdict is verdict for claim in claims) for verdict in VERBS}
    first, *rest = [verdict for verdict in (*ALWAYS_COUNTED, *VERBS) if counts[verdict] or verdict in ALWAYS_COUNTED]
    told = [f"{counts[first]} of {plural(len(claims), 'claim')} {VERBS[first]}"]
    told += [f"{counts[verdict]} {VERBS[verdict]}" for verdict in dict.fromkeys(rest) if verdict is not first]
    decided = counts[Verdict.REPRODUCED] + counts[Verdict.REFUTED]
    jointly = decided - len(shaken)
    if decided and not jointly:
        told[-1] += "; each verdict by itself, as none would stand jointly with all the others (†)"
    elif decided:
        told[-1] += f"; {jointly} of the {decided} decided also stand jointly"
    return f"{', '.join(told)}."


def answer(claim: ClaimEvidence) -> str:
    """What came out, in a sentence from the finding that matters most."""
    texts = telling_first(claim.findings, claim.verdict)
    guilty = [text for text in texts if text.finding.verdict is claim.verdict]
    message = first_line(claim.message)
    match claim.verdict:
        case Verdict.REPRODUCED if len(texts) == 1:
            return f"Yes: {numbers(texts[0])}."
        case Verdict.REPRODUCED if texts:
            return f"Yes, in all {len(texts)} findings. Nearest to its bound: {numbers(texts[0])}."
        case Verdict.REFUTED if guilty:
            return f"No: {numbers(guilty[0])}{_and_more(guilty, len(texts))}."
        case Verdict.INCONCLUSIVE if guilty:
            return f"Undecided: {numbers(guilty[0])}{_and_more(guilty, len(texts))}."
        case Verdict.INCONCLUSIVE:
            return f"Undecided: {message or 'a control is'}."
        case Verdict.UNSOUND:
            same = [f"“{spaced(one.name)}”" for one in claim.controls if one.verdict is Verdict.REPRODUCED]
            named = " and ".join(same) or "a control"
            return f"Not shown: with {named} the test came out the same, so it could not have failed."
        case Verdict.ERROR:
            return f"Could not be judged: {message or 'no reason is given'}."
        case Verdict.NOT_RUN:
            return f"Not run: {message or 'no reason is given'}."
    return f"{claim.verdict}."


def of_control(control: ControlEvidence) -> str:
    """What the control came to, and whether that is as it must be."""
    texts = telling_first(control.findings, control.verdict)
    found = [numbers(text) for text in texts if text.finding.verdict is control.verdict]
    told = f": {found[0]}" if found else f": {first_line(control.message)}" if control.message else ""
    match control.verdict:
        case Verdict.REFUTED:
            return f"Refuted, as it must be{told}."
        case Verdict.REPRODUCED:
            return f"Reproduced, though it must not be{told}."
        case Verdict.INCONCLUSIVE:
            return f"Undecided, though it must be refuted{told}."
    return f"Not judged{told}."


def numbers(text: FindingText) -> str:
    """A finding in numbers: "“growth of the norm” is 2.30 (2.27 to 2.34), accepted: at least 1.1"."""
    return f"“{text.finding.name}” is {text.estimate} ({text.interval}), accepted: {text.accepted}"


def telling_first(findings: Sequence[FindingEvidence], verdict: Verdict) -> list[FindingText]:
    """The findings in words: those that made the verdict come first, and among them the one nearest to its bound."""
    texts = {text.finding.name: text for text in finding_texts(findings)}
    ordered = nearest_first(findings)
    return [texts[one.name] for one in sorted(ordered, key=lambda one: one.verdict is not verdict)]


def sentence_case(text: str) -> str:
    """The text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def spaced(name: str) -> str:
    """The name of a control as words."""
    return name.replace("-", " ")


def first_line(message: str) -> str:
    """The first line of a message, without its full stop."""
    return printable(message).strip().partition("\n")[0].rstrip(". ")


def _and_more(guilty: Sequence[FindingText], total: int) -> str:
    """How many of the other findings came out as the one that is told."""
    more, verb = len(guilty) - 1, VERBS[guilty[0].finding.verdict]
    if not more:
        return ""
    if total == 2:
        return f"; the other finding is {verb}, too"
    if more == total - 1:
        return f"; the other {more} findings are {verb}, too"
    return f"; {more} of the other {total - 1} findings {'is' if more == 1 else 'are'} {verb}, too"
