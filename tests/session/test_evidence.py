"""evidence.json of a run: what was asked for, what each experiment trained with, what was judged on what."""

import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st

from ilr.lab.store import Key, Store
from ilr.lab.store.recording_file import read_whole, to_bytes
from ilr.report.evidence import Evidence, ExperimentEvidence
from ilr.report.files import EVIDENCE, read_evidence, write_evidence
from ilr.report.numbers import size
from ilr.report.page.overview import facts, warnings
from ilr.report.page.settings import settings_of
from ilr.session import selection
from tests.claim_files import on_images, write_claim
from tests.conftest import Run
from tests.sample_evidence import sample_evidence
from tests.stores import recordings


def read(pytester: pytest.Pytester, folder: str = "tiny") -> Evidence:
    return read_evidence(pytester.path / "reports" / folder)


def test_a_run_says_how_to_repeat_it(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    write_claim(pytester.path / "claims", "other")
    run("-k", "other or no", "--seed=4", "--replicas=8", "--allow-inconclusive")
    asked = read(pytester, "tiny-replicas-8").invocation
    assert asked.selected == ("claims", "-k", "other or no")
    assert asked.overrides == {"--replicas": "8", "--engine": "in-process", "--allow-inconclusive": ""}
    assert asked.command == (
        "pytest claims -k 'other or no' --scale=tiny --seed=4 --replicas=8 --engine=in-process --allow-inconclusive"
    )


def test_a_claim_has_its_experiments_by_name_and_the_look_that_decided(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    run()
    found = read(pytester)
    [claim] = found.claims
    [control] = claim.controls
    assert list(claim.digests) == list(control.digests) == ["run"]
    assert {claim.digests["run"], control.digests["run"]} == set(found.experiments) == set(claim.experiments)
    assert found.experiments[control.digests["run"]].weight_decay == "0.5"
    [look] = claim.looks
    assert (look.n, look.level, look.findings) == (6, 0.005, claim.findings)


def test_products_of_fewer_bits_are_told_wherever_a_verdict_is(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU, which multiplies in bfloat16, too, but should not be asked to."""
    monkeypatch.setattr(selection, "_check_arithmetic", lambda *_: None)
    path = on_images(write_claim(pytester.path / "claims", "reproduced"))
    path.write_text(path.read_text().replace('"mnist"', '"digits"'))
    write_claim(pytester.path / "claims", "toy")
    result = run("--arithmetic=bfloat16")
    told = "warning: Float32 nets multiplied in bfloat16, as the command line asked: no claim registered that."
    result.stdout.fnmatch_lines([told])
    found = read(pytester)
    products = "float32, products in bfloat16"
    assert [one.precision for one in found.experiments.values()] == [products] * 2 + ["float64"] * 2
    assert all(one.record["precision"] == "bfloat16" for one in found.experiments.values() if one.precision == products)
    assert "bfloat16 products" in found.claims[0].regime
    assert ("Precision", f"{products}; float64") in facts(found)
    for name in ("summary.md", "index.html"):
        assert "--arithmetic=bfloat16" in (pytester.path / "reports" / "tiny" / name).read_text()
    [said] = [value for heading, value in settings_of(found.claims[0], found).common if heading == "precision"]
    assert said == products


def test_a_claim_that_was_not_judged_has_no_look(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "crashed", judge="1 / 0")
    write_claim(pytester.path / "claims", "not-run", replicas=None)
    run()
    crashed, not_run = read(pytester).claims
    assert (crashed.looks, not_run.looks) == ((), ())
    assert list(crashed.digests) == ["run"]
    assert not_run.digests == {}


def test_what_one_machine_trained_and_judged_needs_no_warning(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    run()
    assert warnings(read(pytester)) == []


def settings(pytester: pytest.Pytester, run: Run, *changes: tuple[str, str]) -> ExperimentEvidence:
    """What the evidence says of the experiment of a claim, with changes in the claim's file."""
    path = write_claim(pytester.path / "claims", "changed")
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    run()
    found = read(pytester)
    return found.experiments[found.claims[0].digests["run"]]


def test_an_experiment_says_what_it_trained_with(pytester: pytest.Pytester, run: Run) -> None:
    found = settings(
        pytester,
        run,
        ("import Claim", "import MLP, BatchNorm, CropFlip, Data, StepDecay, Claim"),
        ("net=Toy(), norm=NoNorm()", 'net=MLP((8, 8)), norm=BatchNorm(), data=Data("digits", train=64), batch_size=16'),
        ("learning_rate=Constant(0.1)", "learning_rate=StepDecay(0.5, 0.1, (3,)), momentum=0.9"),
        ("weight_decay=Constant(0.0)", "weight_decay=Constant(0.05), augmentation=CropFlip(1)"),
    )
    assert (found.net, found.norm, found.optimiser) == ("MLP 8-8", "batch norm", "SGD, momentum 0.9")
    assert found.data == "digits, 64 examples, crop by 1 and flip"
    assert (found.learning_rate, found.weight_decay) == ("0.5, ÷10 at step 3", "0.05")
    # ηλ/(1 − β)
    assert found.intrinsic_learning_rate == pytest.approx((0.25, 0.025))
    assert (found.batch_size, found.steps, found.replicas) == (16, 20, 6)


@pytest.mark.parametrize(
    "changes",
    [
        [("learning_rate=Constant(0.1), weight_decay=Constant(0.0)", "learning_rate=1e308, weight_decay=1e3")],
    ],
    ids=["infinite"],
)
def test_rates_that_are_not_finite_keep_no_report_from_being_written(
    pytester: pytest.Pytester, run: Run, changes: list[tuple[str, str]]
) -> None:
    found = settings(pytester, run, *changes)
    assert found.intrinsic_learning_rate == (None, None)
    assert (found.data, found.batch_size) == ("", None)
    assert read(pytester).claims[0].verdict == "ERROR"


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_a_run_is_not_made_dirty_by_its_own_output(pytester: pytest.Pytester, run: Run) -> None:
    """Nor by other files that are in no commit; by a claim that is in none it is, and by whatever was changed."""
    write_claim(pytester.path / "claims", "reproduced")
    run("--rehearse")
    git(pytester.path, "init")
    git(pytester.path, "add", "claims")
    git(pytester.path, "commit", "-m", "claims")
    for _ in range(2):
        run()
        assert read(pytester).provenance.git.endswith("(clean)")
    # A report that is kept in the repository, and that the next run replaces.
    git(pytester.path, "add", "reports")
    git(pytester.path, "commit", "-m", "report")
    (pytester.path / "notes.txt").touch()
    (pytester.path / "claims" / "other.py").touch()
    run("--seed=1")
    assert read(pytester).provenance.git.endswith("(clean)")
    write_claim(pytester.path / "claims", "refuted")
    run()
    assert read(pytester).provenance.git.endswith("(with uncommitted changes)")
    (pytester.path / "claims" / "test_refuted.py").unlink()
    with (pytester.path / "claims" / "test_reproduced.py").open("a") as file:
        file.write("# changed")
    run()
    assert read(pytester).provenance.git.endswith("(with uncommitted changes)")


def test_who_trained_is_told_and_mixing_warned_of(pytester: pytest.Pytester, run: Run) -> None:
    """Another version of torch makes a recording no other one; but nobody may have to guess."""
    write_claim(pytester.path / "claims", "reproduced", replicas=16)
    assert "warning: " not in run().stdout.str()
    store = pytester.path / "store"
    path = recordings(store)[0]
    header, arrays = read_whole(path.read_bytes())
    key = next(key for key in keys_of(run) if (store / key.place) == path)
    facts = msgspec.structs.replace(header.facts, torch="2.0.0", processor="another", ilr="0.0.1")
    path.write_bytes(to_bytes(key, arrays, facts))
    result = run()
    found = read(pytester)
    told = warnings(found)
    for line, part in zip(told, ("version of torch: 2.0.0, ", "version of ilr: 0.0.1, ", "1 experiment "), strict=True):
        assert part in line
        assert f"warning: {line}" in result.outlines
    mixed = [one.trained_by for one in found.experiments.values() if len(one.trained_by.torch_versions) > 1]
    assert len(mixed) == 1
    assert "2.0.0" in mixed[0].torch_versions
    assert Store(store).notes == []


def test_what_a_gpu_trained_says_with_what(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced", replicas=8)
    run()
    assert "GPU" not in dict(facts(read(pytester)))
    store = pytester.path / "store"
    told = {"gpu_software": "driver 580.1, CUDA 13.0, cuDNN 91900", "peak_gpu_memory_bytes": 7 * 2**30}
    for key in keys_of(run):
        header, arrays = read_whole((store / key.place).read_bytes())
        (store / key.place).write_bytes(to_bytes(key, arrays, msgspec.structs.replace(header.facts, **told)))
    run()
    found = read(pytester)
    assert {one.trained_by.gpu_software for one in found.experiments.values()} == {(told["gpu_software"],)}
    assert found.provenance.peak_gpu_memory_bytes == told["peak_gpu_memory_bytes"]
    assert dict(facts(found))["GPU"] == f"{told['gpu_software']}; up to {size(7 * 2**30)} of a GPU’s memory"
    assert told["gpu_software"] in (pytester.path / "reports" / "tiny" / "index.html").read_text()


def keys_of(run: Run) -> list[Key]:
    """The keys of all that a run needs."""
    kept: list[Key] = []
    look_up = Store.look_up
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "look_up", lambda self, key: (kept.append(key), look_up(self, key))[1])
        run()
    return kept


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.text(max_size=3), st.just([]), st.just({}),
    st.sampled_from([10**400, "\ud800", "\0", "<script>", "2026-11-26T22:00:00Z", [[[]]], {"": {}}]),
)  # fmt: skip


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.data(), ODD, st.booleans())
def test_changed_evidence_is_read_or_refused_in_one_line(data: st.DataObject, odd: Any, gone: bool) -> None:
    """Wherever anything is replaced, or missing; what is read can be written again, and is then the same."""
    changed: Any = sample_evidence()
    spot: Any = changed
    while True:
        key = data.draw(st.sampled_from(sorted(spot) if isinstance(spot, dict) else range(len(spot))))
        if not isinstance(spot[key], dict | list) or not spot[key] or data.draw(st.integers(0, 4)) == 0:
            break
        spot = spot[key]
    if gone:
        del spot[key]
    else:
        spot[key] = odd
    with TemporaryDirectory() as name:
        path = Path(name) / EVIDENCE
        path.write_text(json.dumps(changed))
        try:
            found = read_evidence(Path(name))
        except ValueError as error:
            assert str(error).startswith(str(path))  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
        else:
            write_evidence(found, path)
            assert read_evidence(Path(name)) == found
