"""Looks: the first that decides is final, only what is undecided goes on, and nothing is trained twice."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ilr import (
    Claim,
    Control,
    Experiment,
    NoNorm,
    Observe,
    Prediction,
    Recording,
    Replicas,
    Setting,
    Toy,
    Verdict,
    new_figure,
)
from ilr.report.evidence import History
from ilr.report.files import read_evidence
from ilr.trials.claim import Experiments, Measurements, Recordings
from ilr.trials.claim_file import ClaimFile
from ilr.trials.history import attempt_of
from ilr.trials.sequential import SequentialTrial
from tests.claim_files import with_literal_lengths, write_claim
from tests.conftest import Run

NORM = Prediction("norm", "at_least", expected=1.0, margin=0.0, reason="it grows")
LOOKS = (8, 16, 32, 64)


def planner(weight_decay: float) -> Callable[[Setting], Experiments]:
    def experiments(setting: Setting) -> Experiments:
        run = Experiment(
            net=Toy(),
            norm=NoNorm(),
            learning_rate=0.1,
            weight_decay=weight_decay,
            steps=1,
            replicas=setting.replicas,
            seed=setting.seed,
            observe=(Observe("weight_norm", (1,)),),
        )
        return {"run": run}

    return experiments


def judge(recordings: Recordings) -> Measurements:
    yield NORM, recordings["run"].final("weight_norm")


def trial(looks: tuple[int, ...] = LOOKS, replicas: int | None = None) -> SequentialTrial:
    claim = Claim("norm", "t", "s", "st", (NORM,), (Control("decay", "why"),), Replicas(tiny=looks), "only tiny")
    file = ClaimFile(claim, planner(0.0), judge, lambda *_: new_figure("c")[0], {"decay": planner(0.5)}, History())
    return SequentialTrial.of(file, "tiny", seed=0, replicas=replicas)


class World:
    """Recordings whose replicas scatter around 1 by ± 0.1, so undecided, until n replicas where they lie around 2."""

    def __init__(self, claim_decides_at: int, control_decides_at: int) -> None:
        self.decides_at = {0.0: claim_decides_at, 0.5: control_decides_at}
        self.asked: list[tuple[float, int]] = []

    def recording_of(self, experiment: Experiment) -> Recording:
        decay = float(experiment.weight_decays()[0])
        self.asked.append((decay, experiment.replicas))
        middle = 1.0
        if experiment.replicas >= self.decides_at[decay]:
            middle = 2.0 if decay == 0.0 else 0.0
        scatter = np.where(np.arange(experiment.replicas) % 2, 0.1, -0.1)
        values = middle + scatter * (1 + 0.01 * np.arange(experiment.replicas))
        # [replica, moment]
        return Recording(experiment, {"weight_norm": values[:, None], "diverged_at": np.full(experiment.replicas, -1)})


def looked(through: SequentialTrial, world: World) -> list[list[tuple[float, int]]]:
    """What each look wanted, until nothing was undecided: weight decay and replicas of each experiment."""
    wanted = []
    while not through.decided:
        wanted.append([(float(one.weight_decays()[0]), one.replicas) for one in through.wanted])
        through.look(world.recording_of)
    return wanted


def test_the_first_look_that_decides_is_final() -> None:
    through, world = trial(), World(claim_decides_at=16, control_decides_at=16)
    assert looked(through, world) == [[(0.0, 8), (0.5, 8)], [(0.0, 16), (0.5, 16)]]
    outcome = through.outcome(world.recording_of)
    assert outcome.verdict is Verdict.REPRODUCED
    assert [(look.n, look.verdict) for look in outcome.looks] == [(8, Verdict.INCONCLUSIVE), (16, Verdict.REPRODUCED)]
    assert outcome.looks_planned == LOOKS
    assert {finding.n for finding in outcome.findings} == {16}


def test_every_look_has_its_share_of_alpha() -> None:
    through, world = trial(), World(8, 8)
    looked(through, world)
    outcome = through.outcome(world.recording_of)
    assert [look.level for look in outcome.looks] == [NORM.alpha / 4]
    assert {finding.alpha for finding in outcome.findings} == {NORM.alpha / 4}


def test_an_undecided_control_goes_on_alone() -> None:
    through, world = trial(), World(claim_decides_at=8, control_decides_at=32)
    assert looked(through, world) == [[(0.0, 8), (0.5, 8)], [(0.5, 16)], [(0.5, 32)]]
    outcome = through.outcome(world.recording_of)
    assert outcome.verdict is Verdict.REPRODUCED
    assert {finding.n for finding in outcome.findings} == {8}
    assert {finding.n for finding in outcome.controls["decay"].findings} == {32}
    assert [look.verdict for look in outcome.looks] == [Verdict.REPRODUCED, None, None]
    assert outcome.looks[-1].controls == {"decay": Verdict.REFUTED}


def test_a_claim_goes_on_without_a_control_that_was_refuted() -> None:
    through, world = trial(), World(claim_decides_at=32, control_decides_at=8)
    assert looked(through, world) == [[(0.0, 8), (0.5, 8)], [(0.0, 16)], [(0.0, 32)]]


def test_a_control_that_is_never_refuted_leaves_the_claim_undecided() -> None:
    through, world = trial(), World(claim_decides_at=8, control_decides_at=1000)
    assert len(looked(through, world)) == 4
    outcome = through.outcome(world.recording_of)
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert "its control 'decay' is not refuted: undecided" in outcome.message


def test_a_look_asks_for_no_replica_beyond_its_own() -> None:
    through, world = trial(), World(1000, 1000)
    for n in LOOKS:
        through.look(world.recording_of)
        assert max(replicas for _, replicas in world.asked) == n
    assert through.decided
    assert through.outcome(world.recording_of).verdict is Verdict.INCONCLUSIVE


def test_a_number_of_replicas_from_outside_is_one_look_that_is_not_registered() -> None:
    through = trial(replicas=16)
    assert [plan.replicas for plan in through.plans] == [16]
    assert not through.as_registered
    assert trial(looks=(16,), replicas=16).as_registered


@pytest.mark.parametrize(
    ("looks", "complaint"),
    [
        ((8, 16, 32, 64, 128), "give one number for each look, 4 at most"),
        ((), "give one number for each look"),
        ((8, 17), "17 is not twice 8"),
        ((16, 8), "8 is not twice 16"),
        (1, "a decision needs at least 2"),
    ],
)
def test_looks_that_are_none_are_refused(looks: tuple[int, ...] | int, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Replicas(tiny=looks)


def test_groups_keep_their_replicas_from_look_to_look_and_share_none() -> None:
    ids: dict[int, list[set[int]]] = {0: [], 1: [], 2: []}
    for n in LOOKS:
        setting = Setting("tiny", seed=0, replicas=n, most=LOOKS[-1])
        for group, looks in ids.items():
            looks.append(
                set(setting.experiment(group, learning_rate=1.0, weight_decay=0.0, steps=1, observe=()).replica_ids)
            )
    for looks in ids.values():
        for fewer, more in pairwise(looks):
            assert fewer < more
    last = [looks[-1] for looks in ids.values()]
    assert len(set().union(*last)) == len(ids) * LOOKS[-1]


def files(folder: Path) -> dict[Path, int]:
    """Every recording in a store, with the moment of its last change."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}


def undecided(pytester: pytest.Pytester, looks: Iterable[int]) -> Path:
    return write_claim(pytester.path / "claims", "inconclusive", expected=1.04, replicas=tuple(looks))


def test_looks_added_later_retrain_nothing(pytester: pytest.Pytester, run: Run) -> None:
    undecided(pytester, [8, 16])
    run()
    before = files(pytester.path / "store")
    # Two slices of the claim, and the first of the control, which that refuted.
    assert len(before) == 3
    undecided(pytester, [8, 16, 32])
    run()
    after = files(pytester.path / "store")
    assert len(after) > len(before)
    assert before.items() <= after.items()


def test_what_ended_between_looks_goes_on_there(pytester: pytest.Pytester, run: Run) -> None:
    undecided(pytester, [8, 16])
    # As a run leaves the store that was killed after its first look.
    run("--replicas=8")
    before = files(pytester.path / "store")
    result = run()
    assert before.items() <= files(pytester.path / "store").items()
    result.stdout.re_match_lines_random(
        [
            r"Nothing to train: \d+ recordings are in the store\.",
            r"Look 1: 0 claims decided, 1 to go on\.",
            r"Look 2: 1 claim decided, 0 to go on\.",
            r"INCONCLUSIVE +inconclusive .* look 2 of 2, n = 16",
        ]
    )


def test_without_training_a_look_that_lacks_recordings_is_not_taken(pytester: pytest.Pytester, run: Run) -> None:
    undecided(pytester, [8, 16])
    run("--replicas=8")
    result = run("--no-train")
    result.stdout.re_match_lines_random(
        [
            r"INCONCLUSIVE +inconclusive .* look 1 of 2, n = 8",
            r" +undecided: 'norm'.*; --no-train, and \d+ of its rec.*",
        ]
    )


def test_replicas_from_outside_are_marked_everywhere(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    result = run("--replicas=16")
    result.stdout.re_match_lines_random(
        [
            r"--replicas: one look that no claim registered\..*",
            r"REPRODUCED +reproduced .* look 1 of 1, n = 16 \(not registered\)",
        ]
    )
    report = pytester.path / "reports" / "tiny-replicas-16"
    [claim] = read_evidence(report).claims
    assert not claim.as_registered
    page = (report / "index.html").read_text(encoding="utf-8")
    assert "These verdicts are no trial of the claims." in page
    assert "n = 16, which is not registered" in page
    assert "not registered" in (report / "junit.xml").read_text(encoding="utf-8")


def test_literal_lengths_are_marked_everywhere(pytester: pytest.Pytester, run: Run) -> None:
    folder = pytester.path / "claims"
    with_literal_lengths(write_claim(folder, "reproduced"))
    # One that has no other lengths than those that it registers.
    path = write_claim(folder, "other")
    path.write_text(path.read_text().replace("Replicas(tiny=", "Replicas(full="))
    result = run("--scale=full", "--literal", "--device=cpu")
    result.stdout.re_match_lines_random(
        [
            r"--literal: the paper's lengths for reproduced; the others train as ever\.",
            r"REPRODUCED +reproduced .* look 1 of 1, n = 6 \(literal lengths\)",
            r"REPRODUCED +other .* look 1 of 1, n = 6",
            r"warning: 1 claim trained for the lengths that the paper states, as --literal asks.*",
            r"overridden: .*--literal.*",
        ]
    )
    # Beside the report of what is registered, not in its place.
    report = pytester.path / "reports" / "full-literal"
    evidence = read_evidence(report)
    other, literal = sorted(evidence.claims, key=lambda claim: claim.literal)
    assert (other.id, literal.id) == ("other", "reproduced")
    assert "; 40 steps;" in literal.regime
    assert attempt_of(literal, evidence).note == "for the lengths that the paper states"
    page = (report / "index.html").read_text(encoding="utf-8")
    assert "<b>Differs from the paper</b> in nothing." in page
    assert "n = 6, literal lengths" in page
    assert "scale full, literal lengths" in (report / "summary.md").read_text(encoding="utf-8")
    assert "the paper's lengths for reproduced" in (report / "junit.xml").read_text(encoding="utf-8")


@pytest.mark.parametrize("mode", ["--plan", "--rehearse"])
def test_literal_lengths_can_be_planned_and_rehearsed(pytester: pytest.Pytester, run: Run, mode: str) -> None:
    with_literal_lengths(write_claim(pytester.path / "claims", "reproduced"))
    told = run("--scale=full", "--literal", "--device=cpu", mode).stdout
    told.fnmatch_lines(["--literal: the paper's lengths for reproduced; *"])
