"""The training loop: replicas of compatible experiments as one batch of tensors."""

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ilr.data.dataset import Dataset
from ilr.data.on_device import Examples, place
from ilr.experiments.experiment import Experiment
from ilr.experiments.optimizers import gains
from ilr.experiments.quantities import GRADIENT, QUANTITIES, UPDATE
from ilr.experiments.recording import Array
from ilr.experiments.seeding import Stream, generator
from ilr.nn.architectures import build
from ilr.nn.arithmetic import in_a_step, multiplying, refused
from ilr.nn.base import FusedNet
from ilr.nn.cuda_graph import CaptureError, Replay, capturable, current, refusals
from ilr.nn.execution import Formulation
from ilr.nn.norms import Normalise, in_all_training
from ilr.training.branching import Indices, Stage, fusion_key, network_steps, stages
from ilr.training.draws import StepDraws, paired
from ilr.training.metrics import Averages, Networks, Step, is_of_average
from ilr.training.noise import Gradients
from ilr.training.optimizers.effective_rate import norm_power
from ilr.training.optimizers.records import RecordSteps
from ilr.training.optimizers.sgd import SGD
from ilr.training.recorder import Arrays, Due, Recorder, Views
from ilr.training.snapshots import STEP, UNKEPT, Keeper, Snapshot

Slices = Sequence[Experiment]
"""Experiments that train as one batch, such as parts of one: their fusion keys are equal."""

Choose = Callable[[FusedNet, Tensor, Tensor, Tensor, Tensor, Normalise], Formulation]
"""Chooses a formulation for tensors like those of every step; arguments as `ilr.nn.execution.fastest`."""

Tick = Callable[[int], None]
"""Is told of steps done since the last call, summed over networks."""

REPORT_EVERY = 64
"""Steps between two reports of progress."""

LARGE_STEP = 1e10
"""Floating-point operations of a step of all replicas, from which on cuDNN times its kernels. Measured were 10⁹, where
that was slower, and 10¹¹, where it was faster."""

OF_STEPS = frozenset(name for name, quantity in QUANTITIES.items() if quantity.needs.kind == "step")
"""Quantities of a step; the others are of a state."""


def check_fusable(slices: Slices) -> None:
    """Refuses experiments that cannot train as one batch.

    Raises:
        ValueError: their fusion keys differ.
    """
    if len({fusion_key(experiment) for experiment in slices}) != 1:
        raise ValueError(
            "only experiments that differ in nothing but schedules, seeds, replicas, initial scale and velocity, steps "
            "and observations train as one batch, and on the toy loss not in the last two"
        )


def silent(_: int) -> None:
    """A tick that tells nobody."""


def all_at_once(_: FusedNet, weights: Tensor, *__: object) -> Formulation:
    """Chooses to compute all replicas at once."""
    return Formulation(len(weights))


def train(
    slices: Slices,
    dataset: Dataset,
    device: str = "cpu",
    tick: Tick = silent,
    choose: Choose = all_at_once,
    keeper: Keeper = UNKEPT,
) -> list[Arrays]:
    """Trains slices and gives each slice's arrays, [replica, time, ...] by quantity.

    Args:
        slices: experiments with nets.
        dataset: what they train on.
        device: a torch device.
        tick: called now and then with the steps done since the last call, summed over networks.
        choose: chooses how the replicas are computed.
        keeper: keeps snapshots on the way; training goes on from the last of them.

    Raises:
        ValueError: the slices cannot be fused, or the device cannot multiply as they ask.
    """
    check_fusable(slices)
    if reason := refused(slices[0].precision, torch.device(device)):
        raise ValueError(f"{slices[0]}: {reason}")
    # float32 means float32 on GPUs, too: of its 23 bits TF32 would multiply 10, which no identity survives.
    with current(torch.device(device)), multiplying("float32", torch.device(device)):
        return _Run(slices, dataset, torch.device(device), choose).train(tick, keeper)


class _Run:
    """One batch of replicas in training."""

    def __init__(self, slices: Slices, dataset: Dataset, device: torch.device, choose: Choose) -> None:
        self.slices = tuple(slices)
        self.shared = shared = slices[0]
        self.steps = max(one.steps for one in slices)
        self.norm = shared.norm
        self.device = device
        self.dtype: torch.dtype = getattr(torch, shared.dtype)
        self.dataset = dataset
        self.choose = choose
        self.train_set = place(dataset.train_images, dataset.train_labels, device, self.dtype)
        self.test_set = place(dataset.test_images, dataset.test_labels, device, self.dtype)
        self.net = build(shared, dataset.train_images.shape[1:], dataset.classes)
        self.normalise = in_all_training(shared.norm)
        self.captures = capturable(device)
        self.averages = Averages(observation for one in slices for observation in one.observe)
        self.recorder = Recorder(slices)
        observed = {observation.quantity for one in slices for observation in one.observe}
        self.of_steps = OF_STEPS & observed
        # Of all replicas, also of those that are the same network at first.
        self.all_replicas = [(experiment.seed, replica) for experiment in slices for replica in experiment.replica_ids]
        # One value more than there are steps: the final state has an effective learning rate too.
        self.all_learning_rates = self._per_replica(slices, lambda one: self._to_the_end(one.learning_rates()))
        self.all_weight_decays = self._per_replica(slices, lambda one: self._to_the_end(one.weight_decays()))
        self.weights = self._initial_weights(slices)
        self.head = self._initial_head()
        [velocity] = self._per_replica(slices, lambda one: np.array([one.initial_velocity]))
        layers = self.net.layers_of(self.weights)
        self.optimizer: SGD | RecordSteps = (
            SGD(layers, shared.momentum, velocity)
            if shared.optimizer is None
            else RecordSteps(shared.optimizer, layers)
        )
        # To measure it may take seconds, and nothing else needs it.
        is_observed = "effective_learning_rate" in observed
        self.norm_power = norm_power(shared.optimizer) if shared.optimizer and is_observed else -2
        self.gain, _ = gains(shared.stepped_by)
        first, *self.later = stages(self.slices)
        self._enter(first, first.replicas)

    def _enter(self, stage: Stage, come_from: Indices) -> None:
        """Goes on with the networks of a stage.

        Args:
            stage: the one that begins.
            come_from: [network], which of those so far each of its networks is.
        """
        self.stage = stage
        self.replicas = [self.all_replicas[index] for index in stage.replicas]
        self.draws = StepDraws(self.shared, self.replicas, self.dataset, self.train_set)
        self.learning_rates = self.all_learning_rates[:, stage.replicas]
        self.weight_decays = self.all_weight_decays[:, stage.replicas]
        index = torch.from_numpy(come_from).to(self.device)
        self.weights, self.head = self.weights[index], self.head[index]
        self.averages.gather(index)
        self.optimizer = self.optimizer.of(index, self.net.layers_of(self.weights))
        self.views = Views(stage, self.recorder.watches, self.device)
        # Those of the last stage are gone before room for this one's is looked for.
        self.graphs: dict[frozenset[str], Replay[dict[str, Tensor]]] = {}
        """The step as a graph, by the quantities that it measures: steps that measure nothing should not pay for it."""
        batch = self.draws.batch(stage.begin)
        torch.backends.cudnn.benchmark = self._times_convolutions(batch)
        given = self.net, self.weights, self.head, batch.images, batch.labels, self.normalise
        with in_a_step(self.shared.precision, self.device):
            self.formulation = self.choose(*given)

    def _part(self, step: int) -> None:
        """Lets the networks part whose schedules have done so by a step."""
        begun = [stage for stage in self.later if stage.begin <= step]
        if begun:
            self.later = self.later[len(begun) :]
            self._enter(begun[-1], self.stage.networks[begun[-1].replicas])

    def _times_convolutions(self, batch: Examples) -> bool:
        """Whether cuDNN should time its kernels for each convolution, or go by its rules.

        On an H100 timing them made large float32 nets 1.6 to 1.8 times as fast and those in float64 3 to 4 times; a
        small net in float32, whose kernels are over before the next is launched, it made 1.5 times slower.
        """
        step = 6.0 * self.net.multiply_adds() * batch.labels.shape[1] * len(self.replicas)
        return self.dtype == torch.float64 or step > LARGE_STEP

    def _initial_weights(self, slices: Slices) -> Tensor:
        """[R, weight], at each slice's own scale."""
        # Partners that part were one network until then.
        partners = self.shared.partners
        united = partners is not None and partners.parted_at is not None
        weight_owners = paired(self.all_replicas) if united else self.all_replicas
        scale = self._per_replica(slices, lambda one: np.array([one.initial_scale]))[0]
        return scale * self._tensor(np.stack([self.net.initial_weights(*key) for key in weight_owners]))

    def _initial_head(self) -> Tensor:
        """[R, class, feature]; all partners share theirs."""
        head_owners = paired(self.all_replicas) if self.shared.partners else self.all_replicas
        return self._tensor(np.stack([self.net.initial_head(*key) for key in head_owners]))

    def train(self, tick: Tick, keeper: Keeper) -> list[Arrays]:
        """All steps, with every observation on the way: of each slice, [replica, time, ...] by quantity."""
        begin = done = 0
        if snapshot := keeper.load():
            begin = self._resume(snapshot)
            done = network_steps(self.slices, begin)
        for step in range(begin, self.steps):
            self._part(step)
            if keeper.due():
                keeper.keep(self._snapshot(step))
            due = self.recorder.due(step)
            self._observe_state(step, due)
            wanted = [one for one in due if one.quantity in OF_STEPS]
            quantities = frozenset(one.quantity for one in wanted)
            measured = self._replayed(step, quantities) if self.captures else self._eager(step, quantities)
            for one in wanted:
                one.keep(self.views.of_all.rows(one.watch, measured[one.quantity]))
            done += len(self.replicas)
            if step % REPORT_EVERY == REPORT_EVERY - 1:
                tick(done)
                done = 0
        tick(done)
        self._part(self.steps)
        self._observe_state(self.steps, self.recorder.due(self.steps))
        return self.recorder.by_slice()

    def _snapshot(self, step: int) -> Snapshot:
        """All that this and later steps follow from, as arrays of this moment: on a CPU training changes them."""
        tensors = {"weights": self.weights, **self.optimizer.kept, **self.averages.snapshot()}
        arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        return {STEP: np.array([step]), **arrays, **self.recorder.snapshot()}

    def _resume(self, snapshot: Snapshot) -> int:
        """Goes on from a snapshot; gives the step that comes next."""
        step = int(snapshot[STEP].item())
        self._part(step)
        # In place: the layers, and later the graphs, are of these very tensors.
        self.weights.copy_(self._tensor(snapshot["weights"]))
        for name, tensor in self.optimizer.kept.items():
            tensor.copy_(torch.from_numpy(snapshot[name]))
        self.averages.resume(snapshot, self.device)
        self.recorder.resume(snapshot)
        return step

    def _eager(self, step: int, wanted: Collection[str]) -> Mapping[str, Tensor]:
        """Takes a step and gives the quantities of it that are wanted."""
        return self._step(wanted, self.learning_rates[step], self.weight_decays[step], *self.draws.at(step))

    def _replayed(self, step: int, wanted: frozenset[str]) -> Mapping[str, Tensor]:
        """As `_eager`, by a graph, which makes the batch too; where there can be none, eagerly from now on."""
        inputs = self.learning_rates[step], self.weight_decays[step], *self.draws.at(step)
        # Every graph keeps memory of its own: there is one that measures all, and one that measures nothing.
        wanted = self.of_steps if wanted else frozenset()
        if wanted not in self.graphs:
            try:
                self.graphs[wanted] = Replay(partial(self._step, wanted), inputs, self.optimizer.state)
            except CaptureError as error:
                refusals.append(str(error))
                warnings.warn(f"every kernel is launched on its own, which takes longer: {error}", stacklevel=2)
                self.captures = False
                return self._eager(step, wanted)
        return self.graphs[wanted](*inputs)

    def _of_batch(self, batch: Examples) -> Gradients:
        """Each replica's loss [R] and the gradient of each layer, on one batch."""
        with in_a_step(self.shared.precision, self.device):
            return self.formulation.loss_and_gradients(
                self.net, self.weights, self.head, batch.images, batch.labels, self.normalise
            )

    def _step(
        self, wanted: Collection[str], learning_rate: Tensor, weight_decay: Tensor, *drawn: Tensor
    ) -> dict[str, Tensor]:
        """One step at rates [R, 1], on what was drawn for it.

        Gives those of the step's quantities that are wanted, each [R, ...].
        """
        losses, gradients = self.draws.loss_and_gradients(drawn, self._of_batch)
        compares = any(QUANTITIES[quantity].needs is UPDATE for quantity in wanted)
        step = Step(self.weights.clone() if compares else self.weights, losses, gradients, self.weights)
        measured = step.measure(wanted, GRADIENT)
        self.optimizer.step(gradients, learning_rate, weight_decay)
        return measured | step.measure(wanted, UPDATE)

    def _observe_state(self, step: int, due: Sequence[Due]) -> None:
        wanted = [one for one in due if one.quantity not in OF_STEPS]
        # What is measured of the same networks, or needs as little, is looked at together, and by all watches at once.
        together: dict[object, list[Due]] = {}
        for one in wanted:
            needs = one.observation.row.needs
            # Of a mean of weights it matters which steps it is over.
            what = one.observation if is_of_average(one.observation) else (needs.kind, needs.network)
            together.setdefault(what, []).append(one)
        for alike in together.values():
            self._look(step, alike)

    def _look(self, step: int, alike: Sequence[Due]) -> None:
        """Measures and keeps what is due of the same networks."""
        first = alike[0].observation
        view = self.views.of({one.watch for one in alike})
        averaged = self.averages.taken(first, self.weights) if is_of_average(first) else None
        networks = Networks(
            net=self.net,
            norm=self.norm,
            weight_vectors=view.seen(self.weights),
            head=view.seen(self.head),
            learning_rate=view.seen(self.learning_rates[step]) * self.gain,
            norm_power=self.norm_power,
            probe_direction=partial(self._probe_direction, view.networks),
            train=self.train_set,
            test=self.test_set,
            averaged=None if averaged is None else view.seen(averaged),
        )
        measured: dict[tuple[str, tuple[float, ...]], Tensor] = {}
        for one in alike:
            asked = one.quantity, one.observation.factors
            if asked not in measured:
                measured[asked] = networks.measure(one.observation)
            one.keep(view.rows(one.watch, measured[asked]))

    def _probe_direction(self, networks: Indices) -> Tensor:
        draws = [
            generator(*self.replicas[one], Stream.PROBE).standard_normal(self.weights.shape[1]) for one in networks
        ]
        return torch.nn.functional.normalize(self._tensor(np.stack(draws)), dim=1)

    def _to_the_end(self, rates: Array) -> Array:
        """Rates [time] of a slice, its last ones until the batch has ended: [steps + 1]; nobody trains by those."""
        return np.pad(rates, (0, self.steps + 1 - len(rates)), mode="edge")

    def _per_replica(self, slices: Slices, of: Callable[[Experiment], Array]) -> Tensor:
        """What `of` gives for each slice, [time], repeated for its replicas: [time, R, 1]."""
        values = np.stack(
            [of(experiment) for experiment in slices for _ in experiment.replica_ids], axis=1
        )  # [time, R]
        return self._tensor(values)[:, :, None]

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(array).to(self.device, self.dtype)
