"""Worker processes of one thread each, one for every core, as the engine uses them; and what they can do at best."""

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from multiprocessing import get_context
from typing import Any

import torch

from ilr.data.dataset import Dataset, synthetic
from ilr.experiments.experiment import Experiment
from ilr.lab.engines.worker import prepare
from ilr.lab.hardware import peak_memory
from ilr.lab.limits import cpu_cores
from ilr.nn.execution import Formulation, fastest
from ilr.training.loop import train

WORKERS = cpu_cores()
SIDE, PRODUCTS = 1024, 40


class Workers:
    """All cores at work on the same thing at once."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self.pool = pool

    def train(self, experiment: Experiment) -> tuple[float, str, int]:
        """Seconds a replica-step of the whole machine, the formulation chosen, and the largest worker's peak memory.

        Each worker trains the experiment's replicas, so that as many are trained as there are workers times replicas.
        """
        # The first time warms up: the data is made, the formulation measured.
        list(self.pool.map(_train, [experiment] * WORKERS))
        started = time.perf_counter()
        found = list(self.pool.map(_train, [experiment] * WORKERS))
        seconds = time.perf_counter() - started
        return seconds / (experiment.steps * experiment.replicas * WORKERS), found[0][0], max(peak for _, peak in found)

    def matmul_peak(self) -> float:
        """Floating-point operations a second of the machine in matrix products of 1024 × 1024."""
        started = time.perf_counter()
        list(self.pool.map(_multiply, [PRODUCTS] * WORKERS))
        return 2 * SIDE**3 * PRODUCTS * WORKERS / (time.perf_counter() - started)


@contextmanager
def workers() -> Iterator[Workers]:
    """The machine's workers, started."""
    context = get_context("spawn")
    with ProcessPoolExecutor(WORKERS, context, prepare) as pool:
        team = Workers(pool)
        team.matmul_peak()
        yield team


@cache
def dataset_of(experiment: Experiment) -> Dataset:
    """Random images of the experiment's shapes: what they show costs nothing."""
    assert experiment.data is not None
    return synthetic(experiment.data)


@cache
def _formulations() -> dict[Experiment, Formulation]:
    return {}


def _train(experiment: Experiment) -> tuple[str, int]:
    chosen = _formulations()

    def choose(*given: Any) -> Formulation:
        if experiment not in chosen:
            chosen[experiment] = fastest(*given)
        return chosen[experiment]

    train([experiment], dataset_of(experiment), choose=choose)
    return str(chosen[experiment]), peak_memory()


def _multiply(products: int) -> None:
    left, right = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    for _ in range(products):
        torch.mm(left, right)
