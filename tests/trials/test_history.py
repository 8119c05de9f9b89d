"""A claim's history is data beside the claim; what is wrong with it is one line."""

from datetime import date
from pathlib import Path

import msgspec
import pytest

from ilr import Verdict
from ilr.report.evidence import Attempt, History, Regime
from ilr.report.files import read_evidence
from ilr.trials.claim import ClaimFileError
from ilr.trials.claim_file import ClaimFile
from ilr.trials.history import history_of, record, with_attempt
from ilr.trials.registration import claim_modules, load_module
from tests.claim_files import write_claim
from tests.sample_evidence import sample_evidence, typed

CLAIMS = Path(__file__).parents[2] / "claims"

HISTORY = """
notes = ["The first report was undecided."]
attempts = [
    { date = 2026-11-22, scale = "tiny", seed = 0, commit = "a1be0ae", verdict = "NOT RUN", regime = "toy" },
]
[[regimes]]
scale = "tiny"
tried = "half the rate"
found = "too slow"
"""


def written(folder: Path, text: str) -> Path:
    (folder / "history").mkdir()
    (folder / "history" / "norm-grows.toml").write_text(text)
    return folder


def test_it_is_read(tmp_path: Path) -> None:
    assert history_of("norm-grows", written(tmp_path, HISTORY)) == History(
        attempts=(Attempt(date(2026, 11, 22), "tiny", 0, "a1be0ae", Verdict.NOT_RUN, "toy"),),
        regimes=(Regime("tiny", "half the rate", "too slow"),),
        notes=("The first report was undecided.",),
    )


def test_a_claim_without_one_has_an_empty_history(tmp_path: Path) -> None:
    assert history_of("norm-grows", tmp_path) == History()


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("seed = 0", 'seed = "0"', r"norm-grows.toml: Expected `int`, got `str` - at `\$.attempts\[0\].seed`"),
        ("NOT RUN", "PROVEN", r"norm-grows.toml: Invalid enum value 'PROVEN' - at `\$.attempts\[0\].verdict`"),
        ('found = "too slow"', "", r"norm-grows.toml: .* missing required field `found` - at `\$.regimes\[0\]`"),
        ("notes =", "remarks =", r"norm-grows.toml: .* unknown field `remarks`"),
        ("attempts = [", "attempts = ", r"norm-grows.toml: .*\(at line 3, column"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in HISTORY
    path = write_claim(written(tmp_path, HISTORY.replace(old, new)), "norm-grows")
    with pytest.raises(ClaimFileError, match=complaint) as caught:
        ClaimFile.of(load_module(path))
    assert "\n" not in str(caught.value)


def test_our_claims_have_theirs_and_no_other() -> None:
    ids = {module.CLAIM.id for module in claim_modules(CLAIMS)}
    assert {path.stem for path in (CLAIMS / "history").iterdir()} == ids


def test_every_committed_verdict_is_an_attempt() -> None:
    for path in (CLAIMS.parent / "reports" / "reference").glob("*/evidence.json"):
        evidence = read_evidence(path.parent)
        for claim in evidence.claims:
            attempts = history_of(claim.id, CLAIMS).attempts
            judged = {(one.scale, one.seed, one.verdict) for one in attempts}
            # A claim that does not run at a scale was not tried there.
            assert claim.verdict is Verdict.NOT_RUN or (evidence.scale, evidence.seed, claim.verdict) in judged, (
                claim.id
            )


ATTEMPT = Attempt(date(2026, 11, 26), "tiny", 7, "b2", Verdict.REPRODUCED, 'MLP; “quoted” "text"', n=16)


@pytest.mark.parametrize("before", ["", "attempts = []\n", 'notes = ["one"]\nattempts = []\n[[regimes]]\n', HISTORY])
def test_an_attempt_is_appended_and_nothing_else_changes(before: str) -> None:
    if before.endswith("[[regimes]]\n"):
        before += 'scale = "tiny"\ntried = "a"\nfound = "b"\n'
    was = msgspec.toml.decode(before, type=History)
    after = msgspec.toml.decode(with_attempt(before, ATTEMPT), type=History)
    assert after == msgspec.structs.replace(was, attempts=(*was.attempts, ATTEMPT))


def test_a_run_is_recorded_once(tmp_path: Path) -> None:
    evidence = typed(sample_evidence())
    judged = [claim.id for claim in evidence.claims if claim.looks]
    assert judged
    assert record(evidence, tmp_path) == judged
    assert record(evidence, tmp_path) == []
    [attempt] = history_of(judged[0], tmp_path).attempts
    assert (attempt.scale, attempt.seed, attempt.n) == (evidence.scale, evidence.seed, 48)


def test_a_list_that_nobody_can_append_to_is_refused(tmp_path: Path) -> None:
    evidence = typed(sample_evidence())
    claim_id = next(claim.id for claim in evidence.claims if claim.looks)
    path = tmp_path / "history" / f"{claim_id}.toml"
    path.parent.mkdir()
    path.write_text(
        'attempts = [ { date = 2026-11-22, scale = "tiny", seed = 0, commit = "", verdict = "ERROR", regime = "x" } ]\n'
    )
    with pytest.raises(ClaimFileError, match=claim_id):
        record(evidence, tmp_path)
