"""Plans: what a run would cost is told before anything is trained."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import ilr.dryrun.rates
from ilr.dryrun.budget import expected_steps
from ilr.dryrun.rates import Rates
from ilr.experiments.architectures import CNN
from ilr.experiments.experiment import Experiment
from ilr.experiments.schedules import Phases
from ilr.lab.cost import OPERATIONS_PER_SECOND
from ilr.lab.gpus import H100
from ilr.lab.store import Store
from ilr.nn.execution import Formulation
from ilr.training.trainers import trainer_of
from tests.claim_files import VARIANTS, on_images, write_claim
from tests.conftest import Run


def rows(result: pytest.RunResult) -> dict[str, list[str]]:
    """Cells of the table of claims by their first, the headers included."""
    table = "\n".join(result.outlines).partition("\n\n")[2].partition("\n\n")[0]
    return {line.split()[0]: re.split(r" {2,}", line.strip())[1:] for line in table.splitlines()}


def test_a_plan_tells_costs_and_runs_nothing(pytester: pytest.Pytester, run: Run) -> None:
    for id, changes in VARIANTS.items():  # noqa: A001
        write_claim(pytester.path / "claims", id, **changes)
    on_images(write_claim(pytester.path / "claims", "on-images"))
    result = run("--plan", "-q")
    assert result.ret == pytest.ExitCode.OK
    assert result.parseoutcomes() == {}
    table = rows(result)
    assert set(table) == {"claim", "all", "on-images", *VARIANTS} - {"not-run"}
    assert all(len(row) == len(table["claim"]) for row in table.values())
    assert table["on-images"][:4] == ["2", "0", "12 of 12", "240"]
    result.stdout.re_match_lines(
        [
            r"GPUs +V100 +A100 +H100",
            r"1, expected +\d+ s",
            r"512 +\d+ s",
            r"here: on 1 worker of \d+ threads?, .*, at rates measured here for 2 of 2 kinds of steps\.",
            r"H100: measured for 0 of 2 kinds of steps, otherwise at the rate of the net nearest .*\(PreResNet32, .*",
            r"other GPUs: assumed, .* \(V100 0\.23, A100 0\.29 of the H100's\)",
            r"no number of GPUs takes less than 6 networks of .*, 20 steps each\.",
            r"no files of mnist: .*",
            r"NOT RUN not-run: does not run at scale tiny: only tiny is written",
        ],
        consecutive=False,
    )
    assert not list((pytester.path / "store").rglob("*.safetensors"))
    assert not (pytester.path / "reports").exists()


def test_what_claims_share_is_counted_once(pytester: pytest.Pytester, run: Run) -> None:
    for id in ("first", "second"):  # noqa: A001
        write_claim(pytester.path / "claims", id)
    table = rows(run("--plan"))
    assert table["first"][:4] == ["2", "0", "12 of 12", "240"]
    assert table["second"][:4] == ["0", "2", "0 of 0", "0"]
    assert table["all"][:4] == ["2", "2", "12 of 12", "240"]
    assert list(rows(run("--plan", "-k", "second"))) == ["claim", "second", "all"]


def took_looks(claims: Path, id: str, *looks: int) -> None:  # noqa: A002
    """Writes that runs of a claim ended at looks with so many replicas."""
    (claims / "history").mkdir(exist_ok=True)
    attempt = '{{ date = 2026-11-28, scale = "tiny", seed = 1, commit = "", verdict = "REFUTED", regime = "", n = {} }}'
    attempts = ",\n".join(attempt.format(n) for n in looks)
    (claims / "history" / f"{id}.toml").write_text(f"attempts = [\n{attempts}\n]\n")


def test_what_claims_share_is_expected_if_any_of_them_needs_it(pytester: pytest.Pytester, run: Run) -> None:
    """Not only if the claim does that it counts for."""
    claims = pytester.path / "claims"
    for id in ("first", "second"):  # noqa: A001
        write_claim(claims, id, replicas=(8, 16))
    took_looks(claims, "first", 8)
    took_looks(claims, "second", 16)
    assert rows(run("--plan"))["first"][2] == "32 of 32"
    assert rows(run("--plan", "-k", "first"))["first"][2] == "16 of 32"
    # Each takes its second look in one of two runs, so that one of them does in three of four.
    for id in ("first", "second"):  # noqa: A001
        took_looks(claims, id, 8, 16)
    table = rows(run("--plan"))
    assert table["first"][2] == "28 of 32"
    assert table["second"][2] == "0 of 0"


def test_expected_steps_by_hand(small_experiment: Experiment) -> None:
    trunk = replace(small_experiment, steps=100, replicas=8)
    branch = replace(trunk, learning_rate=Phases((0.1, 0.01), (40,)))
    short = replace(trunk, steps=59)
    slices = (trunk, branch, short)
    alone = [expected_steps(slices, [{"one": share}] * 3) for share in (1.0, 0.5, 0.0)]
    # One network for 40 steps, then two; the short one ends, with one more step, while the trunk goes on.
    assert alone == [8 * 160, 8 * 80, 0]
    # Of a network that two claims need there is what either does.
    apart = expected_steps(slices, [{"one": 0.5}, {"other": 0.2}, {"third": 1.0}])
    assert apart == pytest.approx(8 * (40 + 60 * 0.2 + 20 * 1.0 + 40 * 0.5))
    # And of one claim, that which has most of it.
    assert expected_steps(slices, [{"one": 0.5}, {"one": 0.2}, {}]) == pytest.approx(8 * (100 * 0.5 + 60 * 0.2))


def test_a_gpu_has_the_batches_of_its_own_memory(pytester: pytest.Pytester, run: Run) -> None:
    """Of a large net a worker on a CPU trains each slice for itself, a GPU once what two of them have in common."""
    path = on_images(write_claim(pytester.path / "claims", "on-images", replicas=8))
    text = (
        path.read_text()
        .replace("MLP((8, 8))", "PreResNet()")
        .replace("import BatchNorm", "import PreResNet, BatchNorm")
    )
    found = []
    for control in ("weight_decay=0.5", "steps=19, observe=(Observe('weight_norm', (19,)),)"):
        path.write_text(text.replace("weight_decay=Constant(0.5)", control))
        plan = json.loads(run("--plan=json").stdout.str())
        found.append(plan["claims"]["on-images"])
    apart, related = found
    assert (apart["network_steps"], related["network_steps"]) == (8 * 40, 8 * 39)
    for gpu, seconds in apart["gpu_seconds"].items():
        assert related["gpu_seconds"][gpu] == pytest.approx(seconds / 2, rel=0.05)


def test_what_is_stored_costs_nothing(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    run()
    evidence = pytester.path / "reports" / "tiny" / "evidence.json"
    before = evidence.read_bytes()
    result = run("--plan")
    result.stdout.fnmatch_lines(
        ["Cost of --scale=tiny (2 recordings are in the store and left out):", "*: 0 s expected, 0 s at most.*"]
    )
    assert rows(result)["all"][:4] == ["2", "0", "0 of 0", "0"]
    assert evidence.read_bytes() == before


def test_without_claims_there_is_nothing_to_plan(pytester: pytest.Pytester, run: Run) -> None:
    (pytester.path / "claims").mkdir()
    (pytester.path / "claims" / "test_plain.py").write_text("def test_plain(): 1 / 0\n")
    result = run("--plan")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["No claim is selected: there is nothing to plan."])


def test_a_claim_that_cannot_be_planned_fails_the_plan(pytester: pytest.Pytester, run: Run) -> None:
    path = write_claim(pytester.path / "claims", "broken")
    path.write_text(path.read_text().replace("steps=20", "steps=-20"))
    write_claim(pytester.path / "claims", "reproduced")
    result = run("--plan")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["ERROR broken: its experiments could not be planned: ValueError*"])
    assert set(rows(result)) == {"claim", "reproduced", "all"}


@pytest.mark.parametrize("change", [{}, {"net": CNN((4, 4))}, {"batch_size": None}, {"precision": "float64"}], ids=str)
def test_rates_are_measured_once(
    tmp_path: Path, small_experiment: Experiment, change: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = replace(small_experiment, **change)
    rate = Rates(Store(tmp_path), "cpu", 1).of(experiment, 3)
    assert rate > 0
    monkeypatch.setattr(ilr.dryrun.rates, "SECONDS", -1.0)
    rates = Rates(Store(tmp_path), "cpu", 1)
    assert rates.of(replace(experiment, steps=60, seed=3), 3) == rate
    other = replace(experiment, batch_size=4)
    assert rates.of(other, 3) == OPERATIONS_PER_SECOND
    assert (len(rates.measured), len(rates.assumed)) == (1, 1)


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_rates_of_a_gpu_are_measured_in_bulk_and_as_graphs(
    tmp_path: Path, small_experiment: Experiment, monkeypatch: pytest.MonkeyPatch, precision: Any
) -> None:
    """All replicas and the whole batch: two images would time the launches of kernels."""
    passed: list[tuple[int, int]] = []
    flags: list[bool] = []

    def replayed(run: Callable[[], object]) -> float:
        flags.append(torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32)
        run()
        return 2.0

    def passing(*given: Any) -> None:
        _, _, weights, _, images, *_ = given
        passed.append((len(weights), images.shape[1]))

    monkeypatch.setattr(ilr.dryrun.rates, "is_gpu", lambda _: True)
    monkeypatch.setattr(ilr.dryrun.rates, "gpus", lambda _: 1)
    monkeypatch.setattr(ilr.dryrun.rates, "capturable", lambda _: True)
    monkeypatch.setattr(ilr.dryrun.rates, "seconds_replayed", replayed)
    monkeypatch.setattr(Formulation, "loss_and_gradients", passing)
    experiment = replace(small_experiment, net=CNN((64, 64)), batch_size=64, replicas=64, precision=precision)
    rate = Rates(Store(tmp_path), "cpu", 1).of(experiment, 64)
    assert rate == pytest.approx(64 * trainer_of(experiment).step_operations / 2.0)
    assert set(passed) == {(64, 64)}
    assert flags == [precision == "tf32"] * len(flags)
    # Where there was no room for it, it is the table's.
    monkeypatch.setattr(ilr.dryrun.rates, "seconds_replayed", lambda _: float("inf"))
    monkeypatch.setattr(ilr.dryrun.rates, "processor", lambda _: "NVIDIA H100 80GB HBM3")
    rates = Rates(Store(tmp_path / "other"), "cpu", 1)
    assert rates.of(experiment, 64) == H100.rate(experiment) > OPERATIONS_PER_SECOND
    assert len(rates.assumed) == 1


def test_low_precision_is_planned_without_a_gpu(pytester: pytest.Pytester, run: Run) -> None:
    on_images(write_claim(pytester.path / "claims", "on-images"))
    result = run("--plan", "--arithmetic=tf32", "--scale=tiny")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["On this machine: *On GPUs, float32 nets in tf32, all jobs of the last looks, *"])
    result.stdout.fnmatch_lines(["no number of GPUs takes less than *, tf32 products, 20 steps each."])
