"""What a replica-step costs by the number of replicas, and a run by its steps; drawn into the report's appendix."""

from datetime import UTC, datetime
from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.machine import Workers
from benchmarks.test_throughput import CASES
from ilr.lab.hardware import processor
from ilr.trials.plotting import in_style, new_figure, to_svg

REPLICAS = {"mlp": (1, 4, 16, 64, 128, 256), "cnn-14": (1, 2, 4, 8, 16)}
STEPS = (100, 200, 400, 800, 1600)
DRAWING = Path(__file__).parent.parent / "reports" / "throughput.svg"

Curve = list[tuple[int, float]]


def test_cost_against_replicas_and_steps(benchmark: BenchmarkFixture, team: Workers) -> None:
    def measure() -> tuple[dict[str, Curve], Curve]:
        by_replicas = {
            name: [(replicas, team.train(CASES[name].experiment(replicas))[0]) for replicas in numbers]
            for name, numbers in REPLICAS.items()
        }
        mlp = CASES["mlp"]
        by_steps = []
        for steps in STEPS:
            experiment = mlp.experiment(64, steps)
            by_steps.append((steps, team.train(experiment)[0] * steps * experiment.replicas))
        return by_replicas, by_steps

    by_replicas, by_steps = benchmark.pedantic(measure, rounds=1)
    draw(by_replicas, by_steps)
    benchmark.extra_info |= {"by_replicas": by_replicas, "by_steps": by_steps}


def draw(by_replicas: dict[str, Curve], by_steps: Curve) -> None:
    """Draws both curves where the report looks for them."""
    caption = (
        f"Throughput of all cores together, measured on {datetime.now(UTC):%d %B %Y} on {processor('cpu')}. "
        "Left: time a replica-step by the replicas that each worker has in one batch. Right: time of a run by its "
        "steps, with the line through the origin and the last point."
    )
    with in_style():
        figure, (replicas, steps) = new_figure(caption, panels=2)
        for name, curve in by_replicas.items():
            replicas.loglog(
                [at for at, _ in curve], [1e6 * seconds for _, seconds in curve], marker="o", label=str(CASES[name].net)
            )
        replicas.set(title="microseconds a replica-step", xlabel="replicas in a batch")
        replicas.legend()
        last, longest = by_steps[-1]
        steps.plot([0, last], [0, longest], color="black", linewidth=0.6)
        steps.plot([at for at, _ in by_steps], [seconds for _, seconds in by_steps], "o")
        steps.set(title="seconds for 64 replicas", xlabel="steps", xlim=(0, None), ylim=(0, None))
        DRAWING.parent.mkdir(exist_ok=True)
        DRAWING.write_text(to_svg(figure, "throughput"))
