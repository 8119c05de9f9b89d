"""Schedules: the learning rate or the weight decay as a function of the step.

A schedule is a record with one method, `values(steps)`: float64 [steps], the value used by each step 0 … steps−1.
"""

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ilr.serialization import record

Values = npt.NDArray[np.float64]


@runtime_checkable
class Schedule(Protocol):
    """Anything that gives one value per step."""

    def values(self, steps: int) -> Values:
        """The value of each step, float64 [steps]."""
        ...


def as_schedule(value: "Schedule | float") -> Schedule:
    """A schedule as it is; a number as the constant it is."""
    return value if isinstance(value, Schedule) else Constant(float(value))


@record
class Constant:
    """The same value at every step."""

    value: float

    def __str__(self) -> str:
        return f"{self.value:g}"

    def values(self, steps: int) -> Values:
        """The value of each step, float64 [steps]."""
        return np.full(steps, self.value, dtype=np.float64)


@record
class StepDecay:
    """`initial`, multiplied by `factor` at each step named in `at`; the classical staircase.

    Learning rate and weight decay have one schedule each, so each decays at its own steps.
    """

    initial: float
    factor: float
    at: tuple[int, ...]

    def __post_init__(self) -> None:
        if min(self.at, default=0) < 0:
            raise ValueError(f"StepDecay: at={self.at} must be steps, 0 or more")

    def __str__(self) -> str:
        if self.factor == 1 or not self.at:
            return f"{self.initial:g}"
        change = f"÷{1 / self.factor:g}" if 0 < self.factor < 1 else f"×{self.factor:g}"
        *earlier, last = sorted(self.at)
        when = f"steps {', '.join(map(str, earlier))} and {last}" if earlier else f"step {last}"
        return f"{self.initial:g}, {change} at {when}"

    def values(self, steps: int) -> Values:
        """The value of each step, float64 [steps]."""
        decays = np.searchsorted(np.sort(np.asarray(self.at)), np.arange(steps), side="right")
        return np.asarray(self.initial * self.factor**decays, dtype=np.float64)


@record
class Cosine:
    """Half a cosine from `initial` to `final` at step `until`, constant after it (Loshchilov & Hutter 2017)."""

    initial: float
    until: int
    final: float = 0.0

    def __post_init__(self) -> None:
        if self.until < 1:
            raise ValueError(f"Cosine: until={self.until} must be 1 or more")

    def __str__(self) -> str:
        return f"cosine from {self.initial:g} to {self.final:g} at step {self.until}"

    def values(self, steps: int) -> Values:
        """The value of each step, float64 [steps]."""
        progress = np.minimum(np.arange(steps) / self.until, 1.0)
        return self.final + (self.initial - self.final) * (1 + np.cos(np.pi * progress)) / 2


@record
class WarmupLinear:
    """Linear warm-up to `peak` within `warmup` steps, then linear decay that reaches zero at step `until`."""

    peak: float
    warmup: int
    until: int

    def __post_init__(self) -> None:
        if not 0 <= self.warmup < self.until:
            raise ValueError(
                f"a warm-up of {self.warmup} steps must end before step {self.until}, where the decay ends"
            )

    def __str__(self) -> str:
        return f"up to {self.peak:g} within {self.warmup} steps, then linearly to 0 at step {self.until}"

    def values(self, steps: int) -> Values:
        """The value of each step, float64 [steps]."""
        step = np.arange(steps)
        # The first step already moves: with (step + 1) a warm-up of n steps has its peak at step n - 1.
        rising = (step + 1) / max(self.warmup, 1)
        falling = (self.until - step) / (self.until - self.warmup)
        return self.peak * np.clip(np.minimum(rising, falling), 0.0, 1.0)


@record
class Exponential:
    """`initial · factor^step`: grows for `factor` > 1."""

    initial: float
    factor: float

    def __str__(self) -> str:
        return f"{self.initial:g} · {self.factor:.10g}^t"

    def values(self, steps: int) -> Values:
        """The value of each step, float64 [steps]."""
        return np.asarray(self.initial * self.factor ** np.arange(steps, dtype=np.float64), dtype=np.float64)


@record
class Scaled:
    """Another schedule, each value times `factor`."""

    schedule: Schedule
    factor: float

    def __str__(self) -> str:
        return f"{self.factor:g} · ({self.schedule})"

    def values(self, steps: int) -> Values:
        """The value of each step, float64 [steps]."""
        return self.factor * self.schedule.values(steps)


@record
class Phases:
    """Schedules, or numbers for constant ones, one after another, each counted from its own step 0.

    `phases[i]` holds for `lengths[i]` steps; the last one goes on.

    >>> Phases((0.5, StepDecay(1.0, 0.5, at=(1,))), lengths=(2,)).values(5).tolist()
    [0.5, 0.5, 1.0, 0.5, 0.5]

    Raises:
        ValueError: there is not one length for every phase but the last.
    """

    phases: tuple[Schedule | float, ...]
    lengths: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "phases", tuple(map(as_schedule, self.phases)))
        if min(self.lengths, default=0) < 0:
            raise ValueError(f"Phases: lengths={self.lengths} must be 0 or more")
        if len(self.lengths) != len(self.phases) - 1:
            raise ValueError(f"{len(self.phases)} phases need {len(self.phases) - 1} lengths, not {len(self.lengths)}")

    def __str__(self) -> str:
        parts = [f"{phase} for {length} steps" for phase, length in zip(self.phases, self.lengths, strict=False)]
        return "; then ".join([*parts, str(self.phases[-1])])

    def values(self, steps: int) -> Values:
        """The value of each step, float64 [steps]."""
        parts: list[Values] = []
        remaining = steps
        for phase, length in zip(self.phases, (*self.lengths, steps), strict=True):
            parts.append(as_schedule(phase).values(min(length, remaining)))
            remaining -= len(parts[-1])
        return np.concatenate(parts)
