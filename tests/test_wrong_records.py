"""What is wrong with a record of somebody's own is one line with its file, whichever way it comes, and nothing trains.

Each kind of record comes three ways: in a claim's file, by an option, and in a script by `ilr.run`.
"""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import ilr
from ilr.commands.new import claim_text
from ilr.serialization import _RECORDS
from ilr.session.options import BadOptionError, Options
from ilr.session.selection import Selection
from ilr.trials.claim_file import ClaimFile
from ilr.trials.judging import described
from ilr.trials.registration import load_module
from ilr.variations.variation import AXES

KINDS = {"net": "Net", "norm": "Norm", "optimizer": "Optimizer", "data": "OwnData"}
HEAD = "import numpy as np\nimport torch\nfrom torch import nn\n\nimport ilr\n\n"


def own(kind: str, body: str, *, fields: str = "", decorator: str = "@ilr.record", base: str = "") -> str:
    """The text of a file with a record called Own.

    Args:
        kind: of `KINDS`.
        body: of its method, the last line an expression that is returned unless it is a statement.
        fields: a line of the class.
        decorator: above it.
        base: in place of the kind's own.
    """
    method = {
        "net": "module(self, image_shape, classes)",
        "norm": "activations(self, inputs)",
        "optimizer": "step(self, weights, gradients, state, learning_rate, weight_decay)",
        "data": "load(self)",
    }[kind]
    *lines, last = body.split("\n")
    last = last if last.startswith(("raise ", "return")) else f"return {last}"
    within = "\n        ".join([*lines, last])
    cls = f"class Own({base or f'ilr.{KINDS[kind]}'}):"
    return f"{HEAD}{decorator}\n{cls}\n    {fields}\n\n    def {method}:\n        {within}\n"


def module(*lines: str) -> str:
    """The text of a file with a net whose module's forward pass has these lines."""
    within = "\n        ".join(lines)
    return (
        own("net", "Module(classes)")
        + "\n\nclass Module(nn.Module):\n    def __init__(self, classes):\n        super().__init__()\n"
        + f"        self.head = nn.Linear(64, classes)\n\n    def forward(self, images):\n        {within}\n"
    )


SOUND = {
    "net": "nn.Sequential(nn.Flatten(), nn.Linear(64, classes))",
    "norm": "inputs / inputs.square().mean(tuple(range(1, inputs.dim())), keepdim=True).sqrt()",
    "optimizer": "weights - learning_rate * (gradients + weight_decay * weights), state",
    "data": "x, y = np.arange(240).reshape(40, 6) % 7, np.arange(40) % 2\nx, y, x, y",
}


def data(given: str) -> str:
    """The text of a file with a data set that loads this, of vectors x and labels y."""
    return own("data", f"x, y = 1.0 * (np.arange(240).reshape(40, 6) % 7), np.arange(40) % 2\n{given}")


def keeping(kept: str, after: str = "state") -> str:
    """The text of a file with an optimiser that keeps this."""
    text = own("optimizer", f"weights - learning_rate * gradients, {after}")
    return text + f"\n    def state(self, weights):\n        return {{'m': {kept}}}\n"


def counting(kind: str, body: str) -> str:
    """The text of a file with a record that remembers how often it was called, in its class."""
    return own(kind, f"Own.CALLS += 1\n{body}", fields="CALLS = 0")


Case = tuple[str, str, str, str]
"""Kind, text of the file, what is made of it, and what is told."""

FIELDS: dict[str, tuple[str, str, str]] = {
    "a list": ("gains: list = None", "Own([1.0])", r"Own: gains=\[1\.0\] must be a tuple"),
    "a list within": ("gains: tuple = ()", "Own((1, [2]))", r"Own: gains=\(1, \[2\]\) must be a tuple"),
    "a dict": ("gains: dict = None", "Own({1: 2})", r"Own: gains=\{1: 2\} of the type dict is nothing that a record"),
    "an array": ("gain: object = None", "Own(np.ones(2))", r"Own: gain=array.* of the type ndarray is nothing"),
    "a tensor": ("gain: object = None", "Own(torch.ones(2))", r"Own: gain=tensor.* of the type Tensor is nothing"),
    "a function": ("of: object = None", "Own(lambda x: x)", r"Own: of=<function .* of the type function is nothing"),
    "a text for a number": ("eps: float = 0.0", "Own('x')", r"Own: eps='x' must be a finite number"),
    "NaN": ("eps: float = 0.0", "Own(float('nan'))", "Own: eps=nan must be a finite number"),
    "a class attribute": ("gain = 2.0", "Own()", r"Own: gain=2\.0 is no field: write gain: float = 2\.0"),
    "no text of its own": ("__str__ = lambda self: 1 / 0", "Own()", r"Own: __str__\(\) raises ZeroDivisionError"),
}


def cases() -> Iterator[tuple[str, Case]]:
    for kind, body in SOUND.items():
        base = KINDS[kind]
        for name, (field, made, complaint) in FIELDS.items():
            yield name, (kind, own(kind, body, fields=field), made, complaint)
        no_record = rf"(must be a record: put @ilr\.record above the class|a record that is an ilr\.{base})"
        yield "no record", (kind, own(kind, body, decorator=""), "Own()", no_record)
        yield "no base", (kind, own(kind, body, base="object"), "Own()", rf"must be .*{base}")
        yield "a class", (kind, own(kind, body, decorator=""), "Own.__mro__", rf"must be .*{base}")
        yield "raising", (kind, own(kind, "raise KeyError('two\\nlines')"), "Own()", r"\(.*\) raises KeyError: 'two")
        yield "exiting", (kind, own(kind, "raise SystemExit(3)"), "Own()", r"\(.*\) raises SystemExit: 3")
        no_arguments = re.sub(r"\(self[^)]*\):", "():", own(kind, body))
        yield "no argument", (kind, no_arguments, "Own()", r"\(.*\) raises TypeError: .* takes 0 positional arguments")
    for text, complaint in OF_NETS.items():
        yield complaint, ("net", text, "Own()", complaint)
    for text, complaint in OF_NORMS.items():
        yield complaint, ("norm", text, "Own()", complaint)
    for text, complaint in OF_OPTIMIZERS.items():
        yield complaint, ("optimizer", text, "Own()", complaint)
    for text, complaint in OF_DATA.items():
        yield complaint, ("data", text, "Own()", complaint)


LINEAR = SOUND["net"]
ON_THE_CPU = "makes a tensor on the CPU wherever its weights and inputs lie"
OF_NETS = {
    own("net", "nn.Linear"): r"module\(\) gives <class .*Linear'>, not a torch\.nn\.Module",
    own("net", f"{LINEAR}.half()"): r"whose 1\.weight is torch\.float16 on cpu, and must be torch\.float32",
    own("net", f"{LINEAR}.double()"): r"whose 1\.weight is torch\.float64 on cpu, and must be",
    own("net", f"{LINEAR}.to('meta')"): r"whose 1\.weight is torch\.float32 on meta, and must be",
    own("net", "nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))"): r"whose 1\.weight has no shape yet",
    own("net", f"{LINEAR}.requires_grad_(False)"): "a network without a parameter that requires a gradient",
    own("net", f"new = {LINEAR}\nnn.init.constant_(new[1].bias, np.nan)\nnew"): r"whose 1\.bias are no finite numbers",
    own("net", f"Own.MADE = Own.MADE or {LINEAR}\nOwn.MADE", fields="MADE = None"): "the same network every time",
    own("net", f"torch.manual_seed(0)\n{LINEAR}"): "the same initial weights whatever torch.manual_seed",
    own(
        "net", "n = int(torch.randint(9, 99, ()))\nnn.Sequential(nn.Flatten(), nn.Linear(64, n), nn.Linear(n, classes))"
    ): (r"whose 1\.weight has another shape each time: \(\d+, 64\), then \(\d+, 64\)"),
    module("return self.head(images.flatten(1))[:, :3]"): r"gives \[5, 3\] of torch\.float64, where \[5, 10\]",
    module("return self.head(images.flatten(1)), 1"): r"the network in training gives \(tensor.*, not a tensor",
    module("return self.head(images.flatten(1) + torch.zeros(64))"): f"the network in training {ON_THE_CPU}",
    module("return self.head(images.flatten(1) + self.shift)").replace(
        "self.head = ", "self.shift = torch.ones(64)\n        self.head = "
    ): f"the network in training {ON_THE_CPU}",
    module("return self.head(images.flatten(1) + torch.rand(1))"): "other numbers the second time",
    module("return self.head(images.flatten(1).mul_(2))"): "the network in training changes what it is given",
    module("out = self.head(images.flatten(1)).tanh()", "out += 1", "return out"): (
        "the gradient of the network raises RuntimeError: .*modified by an inplace operation"
    ),
    module("out = self.head(images.flatten(1))", "return out - out.mean(0)"): (
        "the network in evaluation mixes examples"
    ),
}
OF_NORMS = {
    own(
        "norm", "inputs[:, 0]"
    ): r"activations\(\) gives \[5\] of torch\.float64, where \[5, 16\] of torch\.float64 are",
    own("norm", "inputs.float()"): r"activations\(\) gives \[5, 16\] of torch\.float32, where",
    own("norm", "inputs.numpy(force=True)"): r"activations\(\) gives array\(.*, not a tensor",
    own("norm", "inputs / 0"): r"activations\(\) gives what is not finite",
    own("norm", "inputs * torch.rand(())"): r"activations\(\) gives other numbers the second time",
    counting("norm", "inputs * Own.CALLS"): r"activations\(\) gives other numbers the second time",
    own("norm", "inputs.mul_(2)"): r"activations\(\) changes what it is given",
    own("norm", "inputs - inputs.mean(0)"): r"activations\(\) mixes examples",
    own("norm", "inputs + torch.zeros(inputs.shape)"): rf"activations\(\) {ON_THE_CPU}",
    own("norm", "inputs", fields="pass\n    def weights(self, weights): return weights[:1]"): (
        r"weights\(\) gives \[1, 64\] of torch\.float64, where \[16, 64\]"
    ),
}
OF_OPTIMIZERS = {
    own("optimizer", "weights[:, :1], state"): r"step\(\) gives weights of the shape \[3, 1, 4\] .* were \[3, 4, 4\]",
    own("optimizer", "weights.float(), state"): r"step\(\) gives weights .*torch\.float32, which were .*torch\.float64",
    own("optimizer", "weights / 0, state"): r"step\(\) gives weights that are not finite",
    own("optimizer", "weights"): r"step\(\) gives tensor\(.*, not weights and state",
    own("optimizer", "weights, {'v': weights}"): r"step\(\) keeps \['v'\], but state\(\) \[\]",
    own("optimizer", "weights - learning_rate * torch.rand(()), state"): r"step\(\) takes other steps the second time",
    counting("optimizer", "weights - learning_rate * Own.CALLS * gradients, state"): (
        r"step\(\) takes other steps the second time"
    ),
    own("optimizer", "weights - learning_rate * gradients / gradients.norm(), state"): r"step\(\) mixes replicas",
    own("optimizer", "weights - torch.ones(weights.shape, dtype=weights.dtype), state"): rf"step\(\) {ON_THE_CPU}",
    own("optimizer", "weights, state", fields="gain: float = 0.0"): r"gain is 0\.0, not a number above 0",
    own("optimizer", "weights, state", fields="gain = None"): r"gain is None, not a number above 0",
    own("optimizer", "weights, state", fields="decay_gain: float = -1.0"): r"decay_gain is -1\.0, not a number above 0",
    own("optimizer", "weights, state", fields="gain = property(lambda self: 1 / 0)"): (
        r"gain raises ZeroDivisionError: division by zero"
    ),
    keeping("torch.zeros(weights.shape)"): rf"state\(\) {ON_THE_CPU}",
    keeping("weights.numpy(force=True)"): r"state\(\) has 'm': array\(.*, not a tensor",
    keeping("weights.sum()"): r"state\(\)\['m'\] has the shape \[\], not \[3, \.\.\.\]",
    keeping("weights / 0 - weights / 0"): r"state\(\) gives 'm' that is no number \(NaN\)",
    keeping("0 * weights", "{'m': state['m'] / 0}"): r"step\(\) keeps 'm' that is no number \(NaN\)",
    keeping("0 * weights", "{'m': weights[:, 0]}"): r"step\(\) keeps 'm' of the shape",
}
OF_DATA = {
    data("x, y, x"): r"load\(\) gives \(array\(.*: it must give images, labels, test_images, test_labels",
    data("x[:, :, None], y, x, y"): r"images have the shape \(40, 6, 1\), and must be .*, square",
    data("x[:0], y[:0], x, y"): r"images have the shape \(0, 6\), and must be .*, with something of each",
    data("x, y, x[:0], y[:0]"): r"test_images have the shape \(0, 6\)",
    data("x, y[1:], x, y"): r"labels have the shape \(39,\), and must be \(40,\)",
    data("x, y / 1, x, y"): r"labels are of the type float64, and must be whole numbers from 0 on",
    data("x, y + 1, x, y"): "labels go up to 2 and none is 0",
    data("x, y, x, y + 1"): r"test_labels\[1\] is 2, and must be 0 to 1",
    data("np.where(x == 3, np.nan, x), y, x, y"): r"images\[0, 3\] is nan, and must be a finite number",
    data("x.astype(object), y, x, y"): "images are of the type object, and must be numbers",
    data("np.random.default_rng().random(x.shape), y, x, y"): r"load\(\) gives other images the second time: seed",
}

CASES = list(cases())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, of whose modules and records nothing is left afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    records, modules = dict(_RECORDS), set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    _RECORDS.clear()
    _RECORDS.update(records)


def fields_of(kind: str, made: str) -> dict[str, str]:
    """What an experiment has of a record."""
    if kind == "data":
        return {"data": f"ilr.Data({made})"}
    return {kind: made} | ({"norm": "ilr.InNet()"} if kind == "net" else {})


def claim_with(folder: Path, kind: str, made: str) -> ModuleType:
    """A claim's file with a record; and one without, for options."""
    text = claim_text("with-it").replace("import ilr\n", "import ilr\nfrom brought import *\n", 1)
    for field, value in fields_of(kind, made).items():
        text, found = re.subn(rf" {field}=ilr[^\n]*,\n", f" {field}={value},\n", text)
        text = text if found else text.replace("batch_size=32,", f"batch_size=32, {field}={value},")
    path = folder / "test_with_it.py"
    path.write_text(text, encoding="utf-8")
    return load_module(path)


def in_a_claim(folder: Path, kind: str, made: str) -> str:
    """What is told of a claim whose file has the record."""
    try:
        file = ClaimFile.of(claim_with(folder, kind, made))
    except Exception as error:  # as the plugin tells it
        return described(error)
    told = file.plan(ilr.Setting("tiny", 1, 4)).error
    # A report repeats it, and says nothing of a machine's folders.
    assert str(folder) not in told
    return told


def by_an_option(folder: Path, kind: str, made: str) -> str:
    """What is told of an option that names the record in its file."""
    name = made.removesuffix("()")
    if not name.isidentifier():
        (folder / "chosen.py").write_text(f"from brought import *\n\nCHOSEN = {made}\n", encoding="utf-8")
    typed = f"{folder / 'brought.py'}:{name}" if name.isidentifier() else f"{folder / 'chosen.py'}:CHOSEN"
    path = folder / "test_sound.py"
    path.write_text(claim_text("sound"), encoding="utf-8")
    try:
        options = Options(**{kind: AXES[kind].check(typed)})
        Selection.of(options, folder, {"sound": load_module(path)})
    except (ValueError, BadOptionError) as error:
        return str(error)
    return ""


def in_a_script(folder: Path, kind: str, made: str) -> str:
    """What is told by `ilr.run`."""
    others = {"net": "ilr.MLP((16,))", "norm": "ilr.BatchNorm()", "data": "ilr.Data('digits')"}
    rest = "batch_size=8, learning_rate=0.1, weight_decay=0.1, steps=2, replicas=2, seed=1, precision='float64'"
    given = ", ".join(f"{name}={value}" for name, value in (others | fields_of(kind, made)).items())
    try:
        scope = dict(vars(importlib.import_module("brought")))
        experiment = eval(f"ilr.Experiment({given}, {rest}, observe=ilr.observe_all('weight_norm', at=(0, 2)))", scope)
        ilr.run(experiment, store=folder / "store", device="cpu", progress=False)
    except (TypeError, ValueError) as error:
        return str(error)
    return ""


WAYS: list[Callable[[Path, str, str], str]] = [in_a_claim, by_an_option, in_a_script]


@pytest.mark.parametrize(
    ("kind", "text", "made", "complaint"),
    [case for _, case in CASES],
    ids=[f"{case[0]}: {name}" for name, case in CASES],
)
def test_it_is_one_line_with_its_file_whichever_way_it_comes(
    kind: str, text: str, made: str, complaint: str, folder: Path
) -> None:
    (folder / "brought.py").write_text(text, encoding="utf-8")
    for way in WAYS:
        told = way(folder, kind, made)
        assert re.search(complaint, told), (way, told)
        assert "brought" in told, way
        assert "\n" not in told, way
    assert not [*folder.glob("store/**/*.safetensors")]


SOUND_TOO = {
    "tied weights": (
        "net",
        own(
            "net",
            "new = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, classes))\n"
            "new[2].weight = new[1].weight\nnew",
        ),
    ),
    "in place": (
        "net",
        own("net", "nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(True), nn.Linear(6, classes))"),
    ),
    "a constant": ("norm", own("norm", "Own.HALF * inputs", fields="HALF = 0.5")),
    "an infinite state": ("optimizer", keeping("0 * weights + float('inf')")),
    "lists": ("data", data("x.tolist(), y.tolist(), x.tolist(), y.tolist()")),
}


@pytest.mark.parametrize(
    ("kind", "text"), [*((kind, own(kind, body)) for kind, body in SOUND.items()), *SOUND_TOO.values()]
)
def test_what_is_sound_is_taken_whichever_way_it_comes(kind: str, text: str, folder: Path) -> None:
    (folder / "brought.py").write_text(text, encoding="utf-8")
    assert [way(folder, kind, "Own()") for way in WAYS] == ["", "", ""]
    assert len([*folder.glob("store/**/*.safetensors")]) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_is_no_complaint(kind: str, folder: Path) -> None:
    (folder / "brought.py").write_text(own(kind, "raise KeyboardInterrupt"), encoding="utf-8")
    for way in WAYS:
        with pytest.raises(KeyboardInterrupt):
            way(folder, kind, "Own()")


def test_a_record_that_fits_some_claims_is_not_run_for_the_others(folder: Path) -> None:
    """It is not wrong as such, and the reason says for what it is."""
    (folder / "brought.py").write_text(own("norm", "assert inputs.dim() == 2\ninputs"), encoding="utf-8")
    modules = {}
    for name, net in (("mlp", "ilr.MLP((16, 16))"), ("cnn", "ilr.CNN((4,))")):
        path = folder / f"test_{name}.py"
        path.write_text(claim_text(name).replace("ilr.MLP((16, 16))", net), encoding="utf-8")
        modules[name] = load_module(path)
    chosen = AXES["norm"].check(f"{folder / 'brought.py'}:Own")
    claims = Selection.of(Options(norm=chosen), folder, modules).claims
    assert claims["mlp"].planned.all()
    assert re.search(r"makes no sense .* raises AssertionError", claims["cnn"].planned.not_run)
