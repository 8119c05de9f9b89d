"""Options: one table, from which the command line and what a run is told are both made."""

import argparse
import configparser
from dataclasses import fields
from fnmatch import fnmatch
from pathlib import Path

import hypothesis
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st

from ilr.lab.engines import slurm
from ilr.session import selection
from ilr.session.options import BadOptionError, Options, check, check_default, flag, table
from ilr.trials.scales import Scale


def given(**values: object) -> argparse.Namespace:
    """What argparse would make of a command line."""
    return argparse.Namespace(**{**dict.fromkeys(table()), **values})


def test_what_is_not_given_keeps_its_default() -> None:
    assert check(given()) == Options()


def test_every_option_is_a_row() -> None:
    # What pytest itself was asked to select is no row.
    assert [*table(), "selected"] == [field.name for field in fields(Options)]
    assert all(option.help for option in table().values())
    assert flag("data_root") == "--data-root"


def test_what_is_given_is_converted() -> None:
    options = check(given(seed="7", replicas="16", workers="2", no_train=True))
    assert (options.seed, options.replicas, options.workers, options.no_train) == (7, 16, 2, True)


@pytest.mark.parametrize("option", ["store", "report", "data_root"])
def test_paths_are_expanded(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "here").mkdir()
    assert getattr(check(given(**{option: "~/here"})), option) == tmp_path / "here"


@pytest.mark.parametrize("variable", ["CUDA_VISIBLE_DEVICES", "XDG_CACHE_HOME", "OMP_NUM_THREADS"])
def test_tox_passes_on_what_chooses_devices_cache_and_threads(variable: str) -> None:
    tox = configparser.ConfigParser()
    tox.read(Path(__file__).parents[2] / "tox.ini")
    passed = tox["testenv"]["pass_env"].split(",")
    assert any(fnmatch(variable, pattern.strip()) for pattern in passed)


@pytest.mark.parametrize(("scale", "device"), [("tiny", "cpu"), ("reduced", "cuda"), ("full", "cuda")])
def test_a_gpu_is_taken_by_default_but_not_at_tiny(
    scale: Scale, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "default_device", lambda: "cuda")
    monkeypatch.setattr(selection, "gpus", lambda device: 3 if device == "cuda" else 0)
    lab = selection.lab_for(Options(scale=scale), tmp_path)
    assert lab.device == device
    if device == "cuda":
        assert lab.engine.workers == 3


@pytest.mark.parametrize("arithmetic", ["tf32", "bfloat16"])
def test_only_gpus_that_multiply_so_are_asked_to(
    arithmetic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But anything can be planned anywhere."""
    on_cpu = rf"^--arithmetic={arithmetic}: is how GPUs multiply, and this run would train on the CPU: .*--device=cuda"
    for options in (given(arithmetic=arithmetic), given(arithmetic=arithmetic, rehearse=True)):
        with pytest.raises(BadOptionError, match=on_cpu):
            selection.lab_for(check(options), tmp_path)
    for plan in ("plan", "plan_json"):
        selection.lab_for(check(given(arithmetic=arithmetic, **{plan: True})), tmp_path)
    monkeypatch.setattr(selection, "default_device", lambda: "cuda")
    monkeypatch.setattr(selection, "gpus", lambda _: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 0))
    options = check(given(arithmetic=arithmetic, scale="full"))
    with pytest.raises(BadOptionError, match=f"--arithmetic={arithmetic}: .* needs an A100 or a later GPU"):
        selection.lab_for(options, tmp_path)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    assert selection.lab_for(options, tmp_path).device == "cuda"


def test_options_of_a_cluster_are_those_of_its_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(slurm, "unavailable", lambda: None)
    more = ["qos=low", "--exclude=n1,n2", "exclusive="]
    options = check(given(engine="slurm", slurm_partition="gpu", slurm_gpus="2", slurm_option=more, workers="5"))
    lab = selection.lab_for(options, tmp_path)
    assert isinstance(lab.engine, slurm.Slurm)
    assert (lab.device, lab.engine.workers) == ("cuda", 5)
    assert lab.engine.request == slurm.Request(
        partition="gpu", gpus=2, more=(("qos", "low"), ("exclude", "n1,n2"), ("exclusive", ""))
    )
    assert selection.lab_for(check(given(engine="slurm")), tmp_path).device == "cpu"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"engine": "slurm"}, r"--engine=slurm: needs sbatch here"),
        ({"slurm_gpus": "1"}, r"--slurm-gpus is for --engine=slurm"),
        ({"slurm_option": ["mem"], "engine": "processes"}, r"--slurm-option is for --engine=slurm"),
        ({"slurm_option": ["mem=8G", "Mem 8"]}, r"--slurm-option=mem=8G Mem 8: must be an option of sbatch"),
        ({"slurm_partition": " "}, r"--slurm-partition=: must be some text"),
        ({"slurm_time": "2"}, r"--slurm-time=2: must be a whole number, 3 or more"),
    ],
    ids=str,
)
def test_a_cluster_that_cannot_be_is_refused(
    values: dict[str, object], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "unavailable", lambda: "needs sbatch here")
    with pytest.raises(BadOptionError, match=complaint):
        check(given(**values))


def test_on_a_cluster_the_device_follows_from_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "unavailable", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(BadOptionError, match=r"--device=cuda:0: with --engine=slurm it follows from --slurm-gpus"):
        check(given(engine="slurm", device="cuda:0"))


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("replicas", "1000000000", "must be 10000 or less"),
        ("replicas", "9" * 5000, "must be a whole number, 2 or more"),
        ("replicas", "٣x", "must be a whole number, 2 or more"),
        ("workers", "640000", "must be 10000 or less"),
        ("workers", "4000", "must be 8 or less, 4 for each CPU core that may be used here (2)"),
        ("seed", "9" * 30, "must be 9223372036854775807 or less"),
        ("store", "", "must be a folder"),
        ("report", "x" * 300, "File name too long"),
        ("report", "a\0b", "null byte"),
        ("report", "/dev/null/x", "must be a folder that can be written, and /dev/null is not"),
        ("data_root", "", "must be an existing folder"),
        ("data_root", "x" * 300, "File name too long"),
        ("compare", "/dev/null/there", "Not a directory"),
        ("compare", "~nobody-of-that-name/x", "evidence.json does not exist"),
    ],
)
def test_a_value_out_of_bounds_is_one_short_line(
    option: str, value: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ilr.lab.limits.cpu_cores", lambda: 2)
    with pytest.raises(BadOptionError) as raised:
        check(given(**{option: value}))
    line = str(raised.value)
    assert line.startswith(f"{flag(option)}=")
    assert complaint in line
    assert "\n" not in line
    assert len(line) < 700


def test_without_a_home_a_store_must_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nobody fills in the ~ of the usual place, and a folder of that name is not what anybody wants."""
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(BadOptionError, match=r"--store, which is ~/\.cache/ilr unless .*: .*no home to look for it in"):
        check_default("store", Path("~/.cache/ilr"))


TYPED = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["-1", "1e3", "0x10", "²", "None", "nan", "9" * 4001, "~", "~/", "..", "cuda:99", "\0", "tiny ", "processes\n"]
)


@settings(max_examples=25, deadline=None)
@hypothesis.given(st.sampled_from([name for name, option in table().items() if option.check is not bool]), TYPED)
def test_whatever_is_typed_is_taken_or_one_line(name: str, typed: str) -> None:
    try:
        check(given(**{name: typed}))
    except BadOptionError as error:
        assert str(error).startswith(flag(name))  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
