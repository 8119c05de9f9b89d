"""The catalogue: which slices an experiment has, which of them the store has, and where they came from.

Asking changes nothing. Each key is made once, and each file's header read once, until its slice is trained.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ilr.experiments.experiment import Experiment
from ilr.experiments.own_data import OwnData
from ilr.lab.data_folder import DataFolder
from ilr.lab.store.keys import Key, training_code_sha256
from ilr.lab.store.own_code import own_code_sha256
from ilr.lab.store.store import Lookup, Store
from ilr.report.evidence import TrainedBy

SLICE = 8
"""Recordings are kept in slices of so many replicas, cut at multiples of it: more replicas later reuse those there
are."""


@dataclass(frozen=True)
class Origin:
    """Where one experiment's recording came from, and who made it."""

    origin: str
    """In a few words: which slices were in the store, which this lab trained, and why."""
    seconds: float
    """Training time of all its slices, whenever it was."""
    peak_memory: int
    """Most bytes that a worker had held by the end of training one of its slices."""
    peak_gpu_memory: int
    """The same of its GPU's memory."""
    formulations: tuple[str, ...]
    """How its replicas were computed."""
    trained_by: TrainedBy
    """Slices may differ: each version, device and so on that they name stands here once. Old recordings say neither on
    which device they were trained nor when."""


class Catalogue:
    """What experiments need and the store has.

    Args:
        store: where recordings are kept.
        data: where data sets are read from.
        device: a torch device; recordings of another kind of device do not count.
        refresh: only what was trained since counts as stored.
    """

    def __init__(self, store: Store, data: DataFolder, device: str, *, refresh: bool = False) -> None:
        self._data_sha256: dict[str | OwnData, str] = {}
        self._store = store
        self._data = data
        self._device_kind = device.partition(":")[0]
        self._refresh = refresh
        self._keys: dict[Experiment, tuple[Key, ...]] = {}
        self._unique: dict[Key, Key] = {}
        self._lookups: dict[Key, Lookup] = {}

    @property
    def data_sha256(self) -> dict[str, str]:
        """By name, of each data set that an experiment so far is trained on."""
        return {str(name): sha256 for name, sha256 in self._data_sha256.items()}

    def keys(self, experiment: Experiment) -> tuple[Key, ...]:
        """One key for each slice of an experiment, in order of replica.

        Raises:
            DataUnavailableError: the experiment's data set is not there.
        """
        if experiment not in self._keys:
            # Experiments that share a slice share its key, which computes its digest once.
            self._keys[experiment] = tuple(self._unique.setdefault(key, key) for key in self._slices(experiment))
        return self._keys[experiment]

    def look_up(self, key: Key) -> Lookup:
        """Whether the store has the recording of a key, and why or why not."""
        if key not in self._lookups:
            self._lookups[key] = Lookup(None, "to be trained again") if self._refresh else self._store.look_up(key)
        return self._lookups[key]

    def trained(self, keys: Sequence[Key]) -> None:
        """Takes note that recordings have just been stored, and keeps why they were missing before."""
        for key in keys:
            before = self.look_up(key)
            reason = before.reason if before.facts else f"trained here: {before.reason}"
            self._lookups[key] = Lookup(self._store.look_up(key).facts, reason)

    def lost(self, key: Key, reason: str) -> None:
        """Takes note that a recording that was there cannot be used."""
        self._lookups[key] = Lookup(None, reason)

    def origin(self, experiment: Experiment) -> Origin:
        """Where the recording of an experiment came from, and who made it."""
        lookups = [self.look_up(key) for key in self.keys(experiment)]
        reasons = dict.fromkeys(one.reason for one in lookups)
        facts = [one.facts for one in lookups if one.facts]
        dates = [one.trained.replace(microsecond=0) for one in facts if one.trained]
        return Origin(
            origin=" and ".join(reasons),
            seconds=sum(one.seconds for one in facts),
            peak_memory=max((one.peak_memory_bytes for one in facts), default=0),
            peak_gpu_memory=max((one.peak_gpu_memory_bytes for one in facts), default=0),
            formulations=_once(one.formulation for one in facts),
            trained_by=TrainedBy(
                ilr_versions=_once(one.ilr for one in facts),
                torch_versions=_once(one.torch for one in facts),
                devices=_once(one.device for one in facts),
                processors=_once(one.processor for one in facts),
                gpu_software=_once(one.gpu_software for one in facts),
                commits=_once(one.commit for one in facts),
                first_trained=min(dates, default=None),
                last_trained=max(dates, default=None),
            ),
        )

    def _slices(self, experiment: Experiment) -> Iterator[Key]:
        data_sha256 = ""
        if experiment.data is not None:
            name = experiment.data.name
            # Asked for once: where files are absent, every asking looks for them again.
            if name not in self._data_sha256:
                self._data_sha256[name] = self._data.sha256(name)
            data_sha256 = self._data_sha256[name]
        own_code = own_code_sha256(experiment)
        ids = experiment.replica_ids
        for cut in range(ids.start // SLICE * SLICE, ids.stop, SLICE):
            start, stop = max(cut, ids.start), min(cut + SLICE, ids.stop)
            part = experiment.slice(start, stop - start)
            yield Key(part, training_code_sha256(), data_sha256, self._device_kind, own_code)


def _once(names: Iterable[str]) -> tuple[str, ...]:
    """Every name once, sorted; an empty one is none."""
    return tuple(sorted({*names} - {""}))
