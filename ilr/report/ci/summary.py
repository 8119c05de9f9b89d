"""The verdicts as Markdown, short enough for the summary page of a job: `summary.md`."""

from collections import Counter
from collections.abc import Iterable, Sequence

from ilr.report.advice import next_step
from ilr.report.evidence import ClaimEvidence, Evidence
from ilr.report.findings import FindingText, finding_texts
from ilr.report.numbers import duration
from ilr.report.standing import looked
from ilr.report.text import printable
from ilr.stats.decision import Verdict

MOST_BYTES = 10_000
"""More than this is a report, which lies beside it."""

_MOST_FINDINGS = 3
"""Of one claim that is not REPRODUCED: what kept it from that."""

_LONGEST = 300
"""Characters of a message or a name."""


def render_summary(evidence: Evidence) -> str:
    """The counts, what is not REPRODUCED with its numbers and the next step, then every verdict; below `MOST_BYTES`.

    What finds no room is left out from the end, and a last line says how many claims these are.
    """
    lines = [f"## {counted(evidence.claims)}", "", _facts(evidence), ""]
    blocks = [_attention(claim, evidence) for claim in evidence.claims if claim.verdict is not Verdict.REPRODUCED]
    blocks.append(["| claim | verdict | look | |", "|---|---|---|---|"])
    blocks += [[_row(claim)] for claim in evidence.claims]
    left_out = 0
    for block in blocks:
        # Room for the line that says what is missing.
        if _size([*lines, *block]) > MOST_BYTES - 200:
            left_out += 1
        else:
            lines += block
    if left_out:
        lines += ["", f"{left_out} more entries are in index.html."]
    return printable("\n".join(lines)) + "\n"


def counted(claims: Sequence[ClaimEvidence]) -> str:
    """How many claims came out how: "14 of 18 claims REPRODUCED, 4 INCONCLUSIVE"."""
    counts = Counter(claim.verdict for claim in claims)
    others = [f"{counts[verdict]} {verdict}" for verdict in Verdict if verdict is not Verdict.REPRODUCED]
    shown = [text for text in others if not text.startswith("0 ")]
    return ", ".join([f"{counts[Verdict.REPRODUCED]} of {len(claims)} claims REPRODUCED", *shown])


def _facts(evidence: Evidence) -> str:
    facts = [
        f"scale {evidence.scale}{', literal lengths' if any(claim.literal for claim in evidence.claims) else ''}",
        f"seed {evidence.seed}",
        f"{evidence.started:%Y-%m-%d %H:%M} UTC",
        f"ilr {evidence.provenance.ilr}",
        f"torch {evidence.provenance.torch}",
        evidence.provenance.device,
        duration(evidence.seconds),
    ]
    if evidence.invocation.command:
        facts.append(f"`{evidence.invocation.command}`")
    return ", ".join(_cell(fact) for fact in facts)


def _attention(claim: ClaimEvidence, evidence: Evidence) -> list[str]:
    lines = [f"**{claim.verdict}: {_cell(claim.title)}** ({_cell(claim.id)})"]
    if claim.message:
        lines.append(f"- {_cell(claim.message)}")
    lines += [f"- {_cell(text.sentence)}" for text in guilty(claim)[:_MOST_FINDINGS]]
    lines.append(f"- next: {_cell(str(next_step(claim, evidence)), longest=2 * _LONGEST)}")
    return [*lines, ""]


def guilty(claim: ClaimEvidence) -> list[FindingText]:
    """The findings that are not REPRODUCED, the REFUTED ones first."""
    texts = [text for text in finding_texts(claim.findings) if text.finding.verdict is not Verdict.REPRODUCED]
    return sorted(texts, key=lambda text: text.finding.verdict is not Verdict.REFUTED)


def _row(claim: ClaimEvidence) -> str:
    sound = sum(control.sound for control in claim.controls)
    controls = f"controls sound {sound}/{len(claim.controls)}" if claim.controls else ""
    return f"| {_cell(claim.id)} | {claim.verdict} | {looked(claim)} | {controls} |"


def _cell(text: str, longest: int = _LONGEST) -> str:
    """Text in one line that neither ends a cell of a table nor becomes a tag."""
    text = " ".join(text.split())
    if len(text) > longest:
        text = f"{text[:longest]}…"
    return text.replace("|", "\\|").replace("<", "&lt;")


def _size(lines: Iterable[str]) -> int:
    return len("\n".join(lines).encode("utf-8", errors="backslashreplace"))
