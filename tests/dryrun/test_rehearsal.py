"""Rehearsals: everything goes through in small, nothing is judged, nothing is left behind."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ilr.dryrun import rehearsal
from ilr.dryrun.rehearsal import alike
from ilr.experiments.architectures import MLP
from ilr.experiments.experiment import Experiment, Observe
from ilr.experiments.schedules import Constant
from ilr.lab import jobs
from ilr.nn.execution import Formulation
from tests.claim_files import VARIANTS, on_images, write_claim
from tests.conftest import Run


def test_claims_are_rehearsed_never_judged(
    pytester: pytest.Pytester, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a run would find, its data's files being absent included, and without leaving anything."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for id in ("reproduced", "refuted", "unsound", "not-run"):  # noqa: A001
        write_claim(pytester.path / "claims", id, **VARIANTS[id])
    on_images(write_claim(pytester.path / "claims", "on-images"))
    result = run("--rehearse")
    assert result.ret == pytest.ExitCode.OK
    assert result.parseoutcomes() == {"rehearsed": 4, "skipped": 1}
    result.stdout.re_match_lines(
        [
            r"Rehearsing 4 experiments as 2: 2 networks, 2 steps each.",
            r"claims/test_on_images.py R .*",
            r"REHEARSED  MLP 8-8, batch norm, mnist, 64 examples, batch 16.*: 2 experiments of on-images",
            r"REHEARSED  toy .*: 2 experiments of refuted, reproduced, unsound",
            r"random data stood in for mnist: MNIST needs --data-root.*",
        ],
        consecutive=False,
    )
    result.stdout.no_re_match_line(r"REPRODUCED|REFUTED|report:")
    assert not (pytester.path / "store").exists()
    assert not (pytester.path / "reports").exists()
    assert not list(tmp_path.glob("ilr-rehearsal*"))


def test_on_a_gpu_the_largest_job_is_rehearsed_as_it_would_train(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CPU stands for the GPU: the claim and its control are one job of twelve networks."""
    trained: list[tuple[int, int]] = []
    chosen = jobs.fastest

    def fastest(
        net: Any, weights: torch.Tensor, head: Any, images: torch.Tensor, *rest: Any, **how: Any
    ) -> Formulation:
        trained.append((len(weights), images.shape[1]))
        return chosen(net, weights, head, images, *rest, **how)

    monkeypatch.setattr(jobs, "fastest", fastest)
    monkeypatch.setattr(rehearsal, "is_gpu", lambda _: True)
    on_images(write_claim(pytester.path / "claims", "on-images"))
    result = run("--rehearse")
    assert result.parseoutcomes() == {"rehearsed": 1}
    result.stdout.fnmatch_lines(
        [
            "Rehearsing 2 experiments as 1: as many networks as its largest job has, 2 steps each.",
            "REHEARSED  MLP 8-8, batch norm, mnist, *: 2 experiments of on-images",
        ]
    )
    assert trained == [(12, 16)]


def test_batches_are_cut_down_to_the_memory_there_is(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ImageNet's batches two networks take more than a desk's machine has: a step goes through all the same."""
    monkeypatch.setattr(rehearsal, "available_memory", lambda: 1)
    on_images(write_claim(pytester.path / "claims", "on-images"))
    write_claim(pytester.path / "claims", "without-batches")
    result = run("--rehearse")
    assert result.parseoutcomes() == {"rehearsed": 2}
    result.stdout.re_match_lines(
        [
            r"REHEARSED  MLP 8-8, batch norm, mnist, 8 examples, batch 2\b.*: 2 experiments of on-images",
            r"in batches of 2, as 16 take more memory than is free",
        ],
        consecutive=True,
    )


def test_a_rehearsed_claim_has_a_word_of_its_own(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    write_claim(pytester.path / "claims", "other")
    result = run("--rehearse", "-v", "-k", "reproduced")
    result.stdout.re_match_lines([r"claims/test_reproduced.py::test_reproduced REHEARSED"])
    assert result.parseoutcomes() == {"rehearsed": 1, "deselected": 1}


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('Observe("weight_norm", (20,))', 'Observe("test_loss", (20,))', "*: the toy loss has no 'test_loss'*"),
        (
            "weight_decay=Constant(0.0)",
            "weight_decay=Exponential(1.0, 1e99)",
            "*weight_decay * is not finite over*",
        ),
        ("weight_decay=Constant(0.0)", "weight_decay=Cosine(1.0, 0)", "*Cosine: until=0 must be 1 or more*"),
        ("    pass\n", "    1 / 0\n", "*its judge failed: ZeroDivisionError*"),
        ("steps=20", "steps=-20", "*its experiments could not be planned: ValueError*"),
        ("axes.plot(", "axes.plott(", "*its figure could not be drawn*"),
    ],
)
def test_what_would_fail_fails_its_own_claim(
    pytester: pytest.Pytester, run: Run, old: str, new: str, complaint: str
) -> None:
    path = write_claim(pytester.path / "claims", "broken")
    path.write_text(path.read_text().replace(old, new).replace("import Claim", "import Cosine, Exponential, Claim"))
    write_claim(pytester.path / "claims", "reproduced")
    result = run("--rehearse")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes() == {"rehearsed": 1, "errors": 1}
    result.stdout.fnmatch_lines([complaint])


def test_what_a_few_steps_would_not_tell_apart_is_rehearsed_once(small_experiment: Experiment) -> None:
    same = [
        small_experiment,
        replace(small_experiment, learning_rate=Constant(0.3), seed=9, replicas=50),
        replace(small_experiment, steps=60, observe=(Observe("test_loss", (60,)),)),
    ]
    others = [
        replace(small_experiment, net=MLP((9, 9))),
        replace(small_experiment, batch_size=8),
        replace(small_experiment, precision="float64"),
    ]
    assert alike(same + others) == [tuple(same), *((other,) for other in others)]
