"""A job: slices of experiments that train as one batch, from the data on disk to recordings in the store."""

import math
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from torch import Tensor

from ilr.data.catalog import DataUnavailableError
from ilr.data.dataset import Dataset
from ilr.experiments.experiment import Data, Experiment
from ilr.lab.checkpoints import Checkpoint
from ilr.lab.cost import shares, work
from ilr.lab.data_folder import DataFolder
from ilr.lab.hardware import gpu_software, peak_gpu_memory, peak_memory, processor
from ilr.lab.store.keys import Key, commit
from ilr.lab.store.leases import leased
from ilr.lab.store.recording_file import Facts
from ilr.lab.store.store import Store
from ilr.nn.base import FusedNet
from ilr.nn.cuda_graph import capturable, refusals
from ilr.nn.execution import Formulation, fastest
from ilr.nn.gradients import compilable
from ilr.nn.layers import ConvolutionKernel
from ilr.training.trainers import trainer_of
from ilr.version import __version__

WORK_UNIT = 1000.0
"""Floating-point operations: in these, the longest run has a number that fits 64 bits."""

COMPILING_PAYS = {"cpu": 1e12, "cuda": 1e16}
"""Floating-point operations of a job from which on steps may be compiled: half a minute of a core, minutes of a GPU."""


@dataclass(frozen=True)
class Job:
    """What one worker does at a time: plain data, for any process or machine that sees the store."""

    keys: tuple[Key, ...]
    store: Path
    data: DataFolder
    device: str
    choose: bool = True
    """Take the fastest way to compute the replicas, which takes time to find; otherwise all at once."""
    since: datetime | None = None
    """Recordings trained before this moment do not count, and are made again; `None` lets all count."""

    @property
    def slices(self) -> tuple[Experiment, ...]:
        """What is trained."""
        return tuple(key.experiment for key in self.keys)

    @property
    def replicas(self) -> int:
        """Networks that there are in the end."""
        return sum(one.replicas for one in self.slices)

    @property
    def network_steps(self) -> int:
        """Steps summed over networks: replicas that are the same network at first count once until they part."""
        return trainer_of(self.slices[0]).network_steps(self.slices)

    @property
    def work(self) -> int:
        """What it takes, in units of `WORK_UNIT`: steps differ too much to tell how far a run is."""
        return math.ceil(work(self.slices) / WORK_UNIT)

    @property
    def checkpoint(self) -> Checkpoint:
        """How far it is, from now on."""
        return Checkpoint(self.store, [key.place for key in self.keys])

    def has(self, key: Key) -> bool:
        """Whether the store has the recording of a key by now."""
        facts = Store(self.store).look_up(key).facts
        return facts is not None and (self.since is None or (facts.trained is not None and facts.trained >= self.since))

    def run(self, tick: Callable[[int], None]) -> None:
        """Trains and stores every slice, from where it was left; `tick` is told of the work done since the last call.

        What another process has stored meanwhile is not trained again.

        Raises:
            LeasedError: another process trains one of the slices.
            StoppedError: this process was asked to stop.
            StoreError: the store cannot be written.
        """
        with leased(self.store, [key.place for key in self.keys]):
            rest = replace(self, keys=tuple(key for key in self.keys if not self.has(key)))
            if rest.keys:
                rest.train(tick)
            if rest.keys != self.keys:
                tick(self.work - (rest.work if rest.keys else 0))
                self.checkpoint.drop()

    def train(self, tick: Callable[[int], None]) -> None:
        """As `run`, whatever other processes do."""
        chooser, checkpoint = _Chooser(self), self.checkpoint
        trainer = trainer_of(self.slices[0])
        refused = len(refusals)
        results = trainer.train(self.slices, self._load, self.device, self._in_work(tick), chooser, checkpoint)
        seconds = checkpoint.seconds
        facts = Facts(
            ilr=__version__,
            torch=str(torch.__version__),
            batch=self.replicas,
            formulation=f"{chooser.chosen}{self._launched(refused)}" if chooser.chosen else "",
            peak_memory_bytes=peak_memory(),
            peak_gpu_memory_bytes=peak_gpu_memory(self.device),
            trained=datetime.now(UTC),
            device=self.device,
            processor=processor(self.device),
            gpu_software=gpu_software(self.device),
            commit=commit(),
            machine=platform.node(),
        )
        for key, arrays, share in zip(self.keys, results, shares(self.slices), strict=True):
            Store(self.store).save(key, arrays, msgspec.structs.replace(facts, seconds=seconds * share))
        checkpoint.drop()

    def _load(self, data: Data) -> Dataset:
        """The data, if it is still that by which the recordings are to be found.

        Raises:
            DataUnavailableError: it is not, or it is not there.
        """
        if self.data.sha256(data.name) != self.keys[0].data_sha256:
            raise DataUnavailableError(f"{data.name} is not what it was when this was planned")
        return self.data.load(data)

    def _launched(self, refused: int) -> str:
        """How a GPU was given the kernels of a step, if so many steps were refused as graphs before this job."""
        if not capturable(torch.device(self.device)):
            return ""
        return ", steps as graphs" if len(refusals) == refused else ", kernel by kernel"

    def _in_work(self, tick: Callable[[int], None]) -> Callable[[int], None]:
        """A tick that takes steps of networks, and tells the other one of the work in them."""
        work_of_a_step = self.work / max(self.network_steps, 1)
        steps = told = 0

        def count(network_steps: int) -> None:
            nonlocal steps, told
            steps += network_steps
            work = round(steps * work_of_a_step)
            tick(work - told)
            told = work

        return count


class _Fastest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A formulation as it is kept in the store."""

    at_once: Annotated[int, msgspec.Meta(ge=1)]
    kernel: ConvolutionKernel
    compiled: bool = False


class _Chooser:
    """Chooses how the replicas of a job are computed."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.chosen: Formulation | None = None
        """What was chosen last; the toy loss has no choice."""

    def __call__(self, net: FusedNet, weights: Tensor, head: Tensor, images: Tensor, *rest: Any) -> Formulation:
        """The fastest formulation for tensors like these on this machine: measured once, then remembered."""
        self.chosen = Formulation(len(weights))
        if self.job.choose:
            # Kept under this text: under another, every machine would measure anew and might choose otherwise.
            job = self.job
            compiling = compilable(net) and job.work * WORK_UNIT > COMPILING_PAYS[weights.device.type]
            what = (
                f"{job.slices[0]}; weights {[*weights.shape]}, images {[*images.shape]}, {weights.dtype}; "
                f"{processor(job.device)}, {torch.get_num_threads()} threads, torch {torch.__version__}"
                f"{', long enough to compile' if compiling else ''}"
            )

            def measured() -> _Fastest:
                chosen = fastest(net, weights, head, images, *rest, compiling=compiling)
                return _Fastest(chosen.at_once, chosen.kernel, chosen.compiled)

            found = Store(job.store).remember(what, measured, _Fastest)
            self.chosen = Formulation(found.at_once, found.kernel, found.compiled)
        return self.chosen
