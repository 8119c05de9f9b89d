"""How fast a device is, and what of that the training of many nets at once uses."""

import gc
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad, replace_all_batch_norm_modules_, stack_module_state, vmap

from benchmarks.gpu_parts.setting import Case, Found, Setting, cases, dataset_of
from ilr.data.catalog import info_of
from ilr.experiments.architectures import MLP
from ilr.experiments.experiment import Experiment, Observe, Precision
from ilr.experiments.norms import BatchNorm
from ilr.nn.architectures import build
from ilr.nn.arithmetic import multiplying, refused
from ilr.nn.cuda_graph import Replay, capturable
from ilr.nn.execution import Formulation, fastest, kernels
from ilr.training.loop import _Run
from ilr.training.snapshots import UNKEPT
from tests.oracle import plain_net

TIMES = 5
ACCESSES = 20.7
"""How often float32 training reads or writes each activation, kernel by kernel: counted from a trace of PreResNet32."""


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of a call on a device, to the end of what it started: the mean of several, after one to warm up."""
    run()
    _wait(device)
    started = time.perf_counter()
    for _ in range(TIMES):
        run()
    _wait(device)
    return (time.perf_counter() - started) / TIMES


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ceilings(setting: Setting, _: Mapping[str, Found]) -> Found:
    """Bandwidth of a copy, and rates of large matrix products."""
    device = setting.device
    source = torch.randn(2**16 if setting.toy else 2**28, device=device)
    target = torch.empty_like(source)
    found: Found = {"copy_gb_s": 8e-9 * len(source) / timed(partial(target.copy_, source), device)}
    del source, target
    side = 128 if setting.toy else 8192
    for kind, dtype in (
        ("float32", torch.float32),
        ("tf32", torch.float32),
        ("bfloat16", torch.bfloat16),
        ("float64", torch.float64),
    ):
        left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        with multiplying("tf32" if kind == "tf32" else "float32", device):
            found[f"{kind}_tflop_s"] = 2e-12 * side**3 / timed(partial(torch.mm, left, right), device)
    return found


class Stepper:
    """One step of an experiment, ready to be timed."""

    def __init__(
        self,
        experiment: Experiment,
        setting: Setting,
        formulation: Formulation,
        wanted: Collection[str] = (),
    ) -> None:
        assert experiment.data is not None
        self.device = setting.device
        run = _Run([experiment], dataset_of(experiment.data), setting.device, lambda *_: formulation)
        if capturable(self.device):
            inputs = run.learning_rates[0], run.weight_decays[0], *run.draws.at(0)
            step: Callable[..., Any] = partial(run._step, frozenset(wanted))
            self.replay: Replay[Any] | None = Replay(step, inputs, run.optimizer.state)
        else:
            self.replay = None
            self.run = partial(run._eager, 0, frozenset(wanted))

    def seconds(self) -> float:
        """Of one step of all replicas."""
        return self.replay.seconds() if self.replay else timed(self.run, self.device)


def bare_step(*given: Any) -> float:
    """Seconds of one step of all replicas; arguments as `Stepper`."""
    return Stepper(*given).seconds()


def row(case: Case, replicas: int, seconds: float, top: Found) -> Found:
    """A step's time, and what shares of the device's ceilings that comes to."""
    info = info_of(case.data)
    net = build(case.experiment(1), info.image_shape, info.classes)
    flops = 6.0 * net.multiply_adds() * case.batch_size * replicas
    moved = 4.0 * ACCESSES * net.activations() * case.batch_size * replicas
    found = {"us a replica-step": round(1e6 * seconds / replicas, 2), "tflop_s": round(flops / seconds / 1e12, 3)}
    if "copy_gb_s" in top:
        found["of the copy's bandwidth"] = round(moved / seconds / 1e9 / top["copy_gb_s"], 3)
        found["of the float32 product"] = round(flops / seconds / 1e12 / top["float32_tflop_s"], 3)
    return found


def attempted(of: Callable[[], Any]) -> Any:
    """What a measurement gives, or why it gives nothing."""
    try:
        return of()
    except (RuntimeError, TypeError) as error:
        return f"{type(error).__name__}: {str(error)[:160]}"
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def steps(setting: Setting, found: Mapping[str, Found]) -> Found:
    """A step's time by net, replicas, arithmetic and formulation."""
    top = found.get("ceilings", {})
    table: Found = {}
    for name, case in cases(setting).items():
        rows = table[name] = {}

        def add(label: str, replicas: int, *how: Any, case: Case = case, rows: Found = rows, **others: Any) -> None:
            if setting.toy or setting.left > 45:
                experiment = case.experiment(replicas, **others)
                measured = attempted(partial(bare_step, experiment, setting, *how))
                rows[label] = measured if isinstance(measured, str) else row(case, replicas, measured, top)

        several = case.replicas[1]
        for replicas in case.replicas:
            add(f"{replicas} at once", replicas, Formulation(replicas))
        add(f"{several} at once, all quantities of a step", several, Formulation(several), ALL)
        if not refused("tf32", setting.device):
            add(f"{several} at once, tf32", several, Formulation(several), precision="tf32")
        add(f"{several} at once, bfloat16", several, Formulation(several), precision="bfloat16")
        if not isinstance(case.net, MLP):
            for formulation in (
                Formulation(several, "channels-first"),
                Formulation(1),
                Formulation(1, "channels-first"),
            ):
                add(f"{several} as {formulation}", several, formulation)
            add(f"{several} at once, float64", several, Formulation(several), precision="float64")
            add(
                f"{several} at once, channels-first, float64",
                several,
                Formulation(several, "channels-first"),
                precision="float64",
            )
        rows["chosen"] = attempted(partial(chosen, case, several, setting))
    return table


def compiled_steps(setting: Setting, found: Mapping[str, Found]) -> Found:
    """A step's time where what lies between convolutions is compiled, and the seconds that this took."""
    top = found.get("ceilings", {})
    table: Found = {}
    for name, case in cases(setting).items():
        if isinstance(case.net, MLP):
            continue
        replicas = case.replicas[1]
        rows = table[name] = {}
        precisions: tuple[Precision, ...] = ("float32",) if setting.toy else ("tf32", "float32", "bfloat16")
        for precision, kernel in product(precisions, ("grouped",) if setting.toy else kernels(setting.device)):
            if refused(precision, setting.device) or not (setting.toy or setting.left > 90):
                continue
            experiment = case.experiment(replicas, precision=precision)
            started = time.monotonic()
            formulation = Formulation(replicas, kernel, compiled=True)
            measured = attempted(partial(bare_step, experiment, setting, formulation))
            took = {"seconds to compile": round(time.monotonic() - started, 1)}
            rows[f"{precision}, {formulation}"] = (
                measured if isinstance(measured, str) else row(case, replicas, measured, top) | took
            )
    return table


ALL = ("batch_loss", "gradient_second_moment", "step_angle")


def chosen(case: Case, replicas: int, setting: Setting) -> Found:
    """The formulation that is found to be fastest, and how long that takes to find."""
    found: Found = {}

    def choose(*given: Any) -> Formulation:
        started = time.monotonic()
        formulation = fastest(*given)
        found.update(formulation=str(formulation), seconds=round(time.monotonic() - started, 2))
        return formulation

    _Run([case.experiment(replicas)], dataset_of(case.data), setting.device, choose)
    return found


def rivals(setting: Setting, found: Mapping[str, Found]) -> Found:
    """What else one could do: one torch.nn model after another, and torch.func.vmap over stacked ones."""
    top = found.get("ceilings", {})
    table: Found = {}
    for name, case in cases(setting).items():
        if not setting.toy and setting.left < 45:
            break
        replicas = case.replicas[1]
        rows = table[name] = {}
        # As a careful user would set it.
        torch.backends.cudnn.benchmark = True
        for kind in ("float32", "tf32"):
            with multiplying(kind, setting.device):
                measured = attempted(partial(timed_plain, case, setting))
            rows[f"one torch.nn model, {kind}"] = measured if isinstance(measured, str) else row(case, 1, measured, top)
        step = attempted(partial(mapped_step, case, replicas, setting))
        if isinstance(step, str):
            rows["torch.func.vmap"] = step
            continue
        measured = attempted(partial(timed, step, setting.device))
        label = f"torch.func.vmap over {replicas}"
        rows[label] = measured if isinstance(measured, str) else row(case, replicas, measured, top)
        if capturable(setting.device):
            measured = attempted(partial(timed_as_graph, step))
            label += ", as a graph"
            rows[label] = measured if isinstance(measured, str) else row(case, replicas, measured, top)
    return table


def timed_plain(case: Case, setting: Setting) -> float:
    """Seconds of a step of one model."""
    return timed(plain_step(case, setting), setting.device)


def timed_as_graph(step: Callable[[], object]) -> float:
    """Seconds of a step as a graph."""
    return Replay(step, (), ()).seconds()


def plain_model(case: Case, device: torch.device) -> torch.nn.Module:
    """One network of torch's own modules, which refuse eps = 0."""
    experiment = replace(case.experiment(1), norm=BatchNorm(1e-5))
    model = plain_net(experiment, dataset_of(case.data)).float().to(device)
    model[-1].weight.requires_grad_(False)
    return model


def random_batch(case: Case, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images and labels of one batch."""
    shape = info_of(case.data).image_shape
    images = torch.randn(case.batch_size, *shape, device=device)
    return images, torch.randint(0, 10, (case.batch_size,), device=device)


def plain_step(case: Case, setting: Setting) -> Callable[[], object]:
    """A step of the loop of every tutorial, channels-last."""
    layout = torch.contiguous_format if isinstance(case.net, MLP) else torch.channels_last
    model = plain_model(case, setting.device).to(memory_format=layout)
    images, labels = random_batch(case, setting.device)
    images = images.to(memory_format=layout)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.SGD(weights, lr=0.1, weight_decay=5e-4)

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimiser.step()

    return step


def mapped_step(case: Case, replicas: int, setting: Setting) -> Callable[[], object]:
    """A step of as many models behind torch.func.vmap."""
    models = [replace_all_batch_norm_modules_(plain_model(case, setting.device)) for _ in range(replicas)]
    stacked, buffers = stack_module_state(models)
    weights = {name: weight.detach() for name, weight in stacked.items()}
    head = next(reversed(weights))
    images, labels = random_batch(case, setting.device)
    images, labels = images.expand(replicas, *images.shape).contiguous(), labels.expand(replicas, -1).contiguous()

    def loss(own: dict[str, Tensor], kept: dict[str, Tensor], seen: Tensor, told: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(models[0], (own, kept), (seen,)), told)

    gradients_of = vmap(grad(loss))

    @torch.no_grad()
    def step() -> None:
        for name, gradient in gradients_of(weights, buffers, images, labels).items():
            if name != head:
                weights[name].sub_(0.1 * (gradient + 5e-4 * weights[name]))

    return step


def loops(setting: Setting, _: Mapping[str, Found]) -> Found:
    """Milliseconds a step of whole training, with its draws, copies and recording, beside the bare step's."""
    table: Found = {}
    for name, case in cases(setting).items():
        if not setting.toy and setting.left < 20:
            break
        replicas = case.replicas[1]
        count = 8 if setting.toy else (500 if replicas > 8 else 100)
        recorded = {
            "nothing": (Observe("weight_norm", (count,)),),
            "three quantities at every step": tuple(Observe(quantity, range(count)) for quantity in ALL),
        }
        rows = table[name] = {"replicas": replicas}
        for label, observe in recorded.items():
            experiment = case.experiment(replicas, steps=count, observe=observe)
            wanted = ALL if len(observe) > 1 else ()
            bare = attempted(partial(bare_step, experiment, setting, Formulation(replicas), wanted))
            whole = attempted(partial(whole_step, experiment, setting))
            rows[f"recording {label}"] = {
                "bare step": bare if isinstance(bare, str) else round(1e3 * bare, 3),
                "in training": whole if isinstance(whole, str) else round(1e3 * whole, 3),
            }
    return table


def whole_step(experiment: Experiment, setting: Setting) -> float:
    """Seconds a step of training, counted from the third step: before that it is captured."""
    assert experiment.data is not None
    run = _Run([experiment], dataset_of(experiment.data), setting.device, lambda *_: Formulation(experiment.replicas))
    observe, started = run._observe_state, []

    def observed(step: int, due: Any) -> None:
        if step == 3:
            _wait(setting.device)
            started.append(time.perf_counter())
        observe(step, due)

    run._observe_state = observed  # type: ignore[method-assign]
    run.train(lambda _: None, UNKEPT)
    _wait(setting.device)
    return (time.perf_counter() - started[0]) / (experiment.steps - 3)
