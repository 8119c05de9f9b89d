"""A claims folder of somebody else's: small claims on the toy loss, one for every way a trial can end."""

from pathlib import Path

CLAIM_FILE = '''
"""Without weight decay the norm grows."""
from dataclasses import replace
from ilr import Claim, Constant, Control, Experiment, NoNorm, Observe, Prediction, Replicas, Toy, new_figure

NORM = Prediction("norm", "at_least", {expected}, 0.0, "as small as it gets")
CLAIM = Claim(
    id="{id}",
    title="The norm grows",
    source="here",
    statement="Without weight decay the norm grows.",
    predictions=(NORM,),
    controls=(Control("decay", "No weight decay."),),
    replicas=Replicas(tiny={replicas}),
    not_run="only tiny is written",
)

def experiments(setting):
    return {{"run": Experiment(
        net=Toy(), norm=NoNorm(), learning_rate=Constant({learning_rate}), weight_decay=Constant(0.0), steps=20,
        replicas=setting.replicas, seed=setting.seed, observe=(Observe("weight_norm", (20,)),),
    )}}

def judge(recordings):
    {judge}
    yield NORM, recordings["run"].final("weight_norm")

def figure(recordings, controls):
    drawn, [axes] = new_figure("Norms.")
    axes.plot(recordings["run"].final("weight_norm"))
    return drawn

def control_decay(setting):
    planned = experiments(setting)
    return {{"run": replace(planned["run"], weight_decay=Constant({control}))}}

def test_{name}(trial):
    trial.must_reproduce()
'''

VARIANTS: dict[str, dict[str, object]] = {
    "reproduced": {},
    "refuted": {"expected": 5.0},
    "inconclusive": {"expected": 1.04},
    "unsound": {"control": 0.0},
    "diverged": {"learning_rate": 1e308},
    "crashed": {"judge": "1 / 0"},
    "not-run": {"replicas": None},
}


def write_claim(folder: Path, id: str, **changes: object) -> Path:  # noqa: A002
    """Writes one claim's file and gives its path."""
    name = id.replace("-", "_")
    given = {"expected": 0.9, "replicas": 6, "learning_rate": 0.1, "control": 0.5, "judge": "pass"} | changes
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"test_{name}.py"
    path.write_text(CLAIM_FILE.format(id=id, name=name, **given))
    return path


def with_literal_lengths(path: Path) -> Path:
    """Changes a claim's file to run at full, in 20 steps or, for the paper's lengths, in 40, and to say so."""
    text = path.read_text().replace("Replicas(tiny=", "Replicas(full=").replace("steps=20,", "steps=steps(setting),")
    text = text.replace("(20,)", "(steps(setting),)").replace("import Claim", "import Differs, Claim")
    text = text.replace("CLAIM = Claim(", "CLAIM = Claim(differs=Differs(full='steps.', literal='nothing.'),")
    path.write_text(f"{text}\ndef steps(setting):\n    return 40 if setting.regime == 'literal' else 20\n")
    return path


def on_images(path: Path) -> Path:
    """Changes a claim's file to train on MNIST, whose files are absent."""
    net = 'net=MLP((8, 8)), norm=BatchNorm(), data=Data("mnist", train=64), batch_size=16'
    text = path.read_text().replace("net=Toy(), norm=NoNorm()", net)
    path.write_text(text.replace("import Claim", "import BatchNorm, Data, MLP, Claim"))
    return path


def sharing(path: Path) -> Path:
    """Changes a claim's file to import what lies beside it, and to hold a dataclass whose annotations are text."""
    path.with_name("shared.py").write_text("RATE = 0.1\n")
    text = path.read_text().replace(
        "from dataclasses import replace\n",
        "from __future__ import annotations\nfrom dataclasses import dataclass, replace\nfrom shared import RATE\n",
    )
    text = text.replace("CLAIM = ", "@dataclass\nclass Regime:\n    rate: float = RATE\n\nCLAIM = ")
    path.write_text(text.replace("learning_rate=Constant(0.1)", "learning_rate=Regime().rate"))
    return path
