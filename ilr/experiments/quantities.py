"""What can be observed, as one table: what is refused, measured, counted as a cost and documented follows from it.

A new quantity is a row here and, under the row's name, a function in `ilr.training.metrics` that measures it.
"""

from dataclasses import dataclass
from typing import Literal

Axis = Literal["test example", "weight", "sampled weight", "factor"]
Examples = Literal["training", "test"]
"""What passes through a network that is evaluated."""

SAMPLED_WEIGHTS = 256
"""At so many weights, evenly spaced, gradients are kept; at all where there are fewer."""


@dataclass(frozen=True)
class Requirement:
    """What a quantity is computed from: hence when it can be observed, and what that costs."""

    kind: Literal["state", "step", "rescaling"]
    """Of the state before a step; of a step, so not of the final state; or of a state and its multiples."""
    cost: str
    """What is computed for it. Quantities that need the same at the same step share it."""
    network: Literal["own", "average", "adjacent average", "partners' average"] | None = None
    """Which network is evaluated."""
    examples: Examples = "test"
    """What it is evaluated on; statistics that normalise test examples need a pass of training examples, too."""
    networks: float = 1.0
    """How many are evaluated for each replica."""


WEIGHTS = Requirement("state", "nothing")
LEARNT = Requirement("state", "a pass of training examples", network="own", examples="training")
EVALUATION = Requirement("state", "one evaluation", network="own")
OF_AVERAGE = Requirement("state", "one evaluation, of the running average", network="average")
OF_ADJACENT = Requirement("state", "one evaluation, of the average of two steps", network="adjacent average")
OF_PARTNERS = Requirement(
    "state", "one evaluation for two partners, of their average", network="partners' average", networks=0.5
)
GRADIENT = Requirement("step", "nothing: the step has it")
UPDATE = Requirement("step", "a copy of the weights")
DERIVATIVES = Requirement("rescaling", "loss, gradient and Hessian-vector product, at each factor and at 1")


@dataclass(frozen=True)
class Quantity:
    """A row of the table."""

    name: str
    needs: Requirement
    formula: str
    """In symbols, or in words where those are plainer."""
    unit: str = "1"
    axes: tuple[Axis, ...] = ()
    """Behind [replica, time]."""
    dtype: Literal["training", "float64", "int16"] = "training"
    """As recorded; "training" is the precision of training."""
    toy: bool = False
    """Whether the toy loss has it, too."""

    def last(self, steps: int) -> int:
        """The last step at which it can be observed, in a training run of so many steps."""
        return steps - 1 if self.needs.kind == "step" else steps


_TABLE = (
    Quantity("train_loss", LEARNT, "mean cross-entropy of the training examples", "nat", toy=True),
    Quantity("train_accuracy", LEARNT, "share of the training examples classified rightly", dtype="float64"),
    Quantity("test_loss", EVALUATION, "mean cross-entropy of the test examples", "nat"),
    Quantity("test_accuracy", EVALUATION, "share of the test examples classified rightly", dtype="float64"),
    Quantity("test_predictions", EVALUATION, "argmax of the logits", "class", ("test example",), "int16"),
    Quantity("average_test_accuracy", OF_AVERAGE, "test_accuracy of the mean w of its steps so far", dtype="float64"),
    Quantity(
        "adjacent_average_test_accuracy",
        OF_ADJACENT,
        "test_accuracy of the mean w of two of its steps in a row",
        dtype="float64",
    ),
    Quantity("partner_average_test_accuracy", OF_PARTNERS, "test_accuracy of two partners' mean w", dtype="float64"),
    Quantity("weight_norm", WEIGHTS, "‖w‖", toy=True),
    # Of another optimiser than SGD, the power of ‖w‖ is measured: `ilr.training.optimizers.effective_rate.norm_power`.
    Quantity(
        "effective_learning_rate",
        WEIGHTS,
        "η/‖w‖²; with momentum β η/((1 − β)‖w‖²); η/‖w‖ under AdamW, Lion and sign SGD",
        toy=True,
    ),
    Quantity("weights", WEIGHTS, "w", axes=("weight",)),
    Quantity("batch_loss", GRADIENT, "L, mean cross-entropy of the step's batch", "nat"),
    Quantity("gradient_second_moment", GRADIENT, "‖w‖²‖∇L‖²"),
    Quantity("sampled_gradient", GRADIENT, "∇L at some weights, evenly spaced", axes=("sampled weight",)),
    Quantity("step_angle", UPDATE, "angle between w before and after the step", "rad"),
    Quantity("loss_rescaling", DERIVATIVES, "|L(cw) − L(w)| / |L(w)|", axes=("factor",)),
    Quantity("gradient_rescaling", DERIVATIVES, "‖c∇L(cw) − ∇L(w)‖ / ‖∇L(w)‖", axes=("factor",)),
    Quantity("curvature_rescaling", DERIVATIVES, "‖c²∇²L(cw)u − ∇²L(w)u‖ / ‖∇²L(w)u‖", axes=("factor",)),
)

QUANTITIES = {quantity.name: quantity for quantity in _TABLE}
"""All that can be observed, by name."""
