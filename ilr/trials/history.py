"""What became of a claim so far: `history/<id>.toml` beside the claim's file, read as `ilr.report.evidence.History`."""

import json
from pathlib import Path

import msgspec

from ilr.report.evidence import NAME, Attempt, ClaimEvidence, Evidence, History
from ilr.report.files import write_whole
from ilr.trials.claim import ClaimFileError

ATTEMPTS = "attempts = ["
"""The line after which attempts stand, one a line."""
HEADING = "# Every judged run of this claim that is known, oldest first. Append; never edit.\n"


def history_of(claim_id: str, folder: Path) -> History:
    """The history of a claim in a folder of claims; empty where no file tells of it.

    Raises:
        ClaimFileError: the file holds something else; one line that names file and field.
    """
    path = _path(claim_id, folder)
    try:
        return _decoded(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        return History()
    except UnicodeDecodeError as error:
        raise ClaimFileError(f"{path}: {error}") from None


def record(evidence: Evidence, folder: Path) -> list[str]:
    """Appends a run to the history of every claim that it judged, and gives their ids; what stands there stays.

    Args:
        evidence: of the run.
        folder: of the claims.

    Raises:
        ClaimFileError: the run was a variation, or a history cannot be read or does not end its list of attempts on a
            line of its own.
    """
    appended = []
    if any(claim.variation for claim in evidence.claims):
        raise ClaimFileError("this run tried claims under other choices than they register: it is no attempt at them")
    for claim in evidence.claims:
        if NAME.fullmatch(claim.id) is None:
            raise ClaimFileError(f"the claim {claim.id!r} cannot name a file: letters, digits, - and _ are allowed")
    for claim in evidence.claims:
        if not claim.looks:
            continue
        attempt = attempt_of(claim, evidence)
        for field in ("scale", "commit", "regime"):
            text = getattr(attempt, field)
            if not text.isprintable():
                raise ClaimFileError(f"the run's {field} is {text[:60]!r}, and must be one line that can be printed")
        history = history_of(claim.id, folder)
        if attempt in history.attempts:
            continue
        path = _path(claim.id, folder)
        path.parent.mkdir(exist_ok=True)
        text = with_attempt(path.read_text(encoding="utf-8") if path.exists() else "", attempt)
        if _decoded(text, path).attempts != (*history.attempts, attempt):
            raise ClaimFileError(
                f"{path}: the list that begins with {ATTEMPTS!r} must end with ']' on a line by itself"
            )
        write_whole(path, text)
        appended.append(claim.id)
    return appended


def attempt_of(claim: ClaimEvidence, evidence: Evidence) -> Attempt:
    """The attempt that a run was at a claim which it judged."""
    commit, _, state = evidence.provenance.git.partition(" ")
    notes = []
    if not claim.as_registered:
        notes.append("a number of replicas that is not registered")
    if claim.literal:
        notes.append("for the lengths that the paper states")
    if "uncommitted" in state:
        notes.append("with uncommitted changes")
    return Attempt(
        date=evidence.started.date(),
        scale=evidence.scale,
        seed=evidence.seed,
        commit=commit[:7],
        verdict=claim.verdict,
        regime=claim.regime,
        note="; ".join(notes),
        n=claim.looks[-1].n,
    )


def with_attempt(text: str, attempt: Attempt) -> str:
    """The text of a history with one attempt more, and nothing else changed."""
    fields = [f"date = {attempt.date.isoformat()}"]
    for name in ("scale", "seed", "commit", "verdict", "regime", "n", "note"):
        value = getattr(attempt, name)
        # JSON's strings are TOML's, too.
        if value not in ("", None) or name == "commit":
            fields.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    entry = f"    {{ {', '.join(fields)} }},"
    lines = text.splitlines()
    if "attempts = []" in lines:
        lines[lines.index("attempts = []")] = f"{ATTEMPTS}\n{entry}\n]"
    elif ATTEMPTS in lines:
        end = lines.index("]", lines.index(ATTEMPTS)) if "]" in lines[lines.index(ATTEMPTS) :] else len(lines)
        lines.insert(end, entry)
    else:
        # Before everything else: after a table it would belong to that.
        lines = [f"{HEADING}{ATTEMPTS}", entry, "]", *lines]
    return "\n".join(lines) + "\n"


def _path(claim_id: str, folder: Path) -> Path:
    return folder / "history" / f"{claim_id}.toml"


def _decoded(text: str, path: Path) -> History:
    try:
        return msgspec.toml.decode(text, type=History)
    except msgspec.DecodeError as error:
        raise ClaimFileError(f"{path}: {error}") from None
