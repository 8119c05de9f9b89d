"""Evidence that somebody else wrote, of every wrong kind: each command that reads it says what is wrong in one line."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ilr.__main__ import main
from ilr.report.files import MADE, write_report
from tests.report.reading import Page
from tests.sample_evidence import claim, finding, sample_evidence, typed

DIGITS = 401


def with_value(path: str, value: Any) -> str:
    """The sample evidence with a value at a place like "claims/0/title"; `...` takes the field away.

    A text that begins with "raw:" is written as it is: JSON that Python's own writer would not write.
    """
    evidence = sample_evidence()
    *parents, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    inner: Any = evidence
    for key in parents:
        inner = inner[key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return re.sub(r'"raw:([^"]*)"', r"\1", json.dumps(evidence))


FINDING = "claims/0/findings/1"
AT = "at `$.claims[0].findings[1]"
HUGE = f"raw:1{'0' * (DIGITS - 1)}"
HOSTILE: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "an estimate of 10^400": (with_value(f"{FINDING}/estimate", HUGE), (f"of {DIGITS} digits", f"{AT}.estimate`")),
    "a count of 10^400": (with_value(f"{FINDING}/n", HUGE), (f"of {DIGITS} digits", f"{AT}.n`")),
    "a free value of 10^400": (with_value("claims/0/values", {"x": [HUGE]}), ("`$.claims[0].values.x[0]`",)),
    "a seed of 10^400": (with_value("seed", HUGE), (f"of {DIGITS} digits", "at `$.seed`")),
    "more digits than Python reads": (with_value("seed", f"raw:{'1' * 5000}"), ("is not JSON",)),
    "an estimate of 1e999": (with_value(f"{FINDING}/estimate", "raw:1e999"), ("<= 1.79", f"{AT}.estimate`")),
    "p = 2": (with_value(f"{FINDING}/p", 2), ("<= 1.0, found 2 -", f"{AT}.p`")),
    "p = -1": (with_value(f"{FINDING}/p", -0.5), (">= 0.0, found -0.5 -", f"{AT}.p`")),
    "α = 0": (with_value(f"{FINDING}/alpha", 0.0), ("> 0.0 -", f"{AT}.alpha`")),
    "seconds without end": (with_value("seconds", 1e300), ("found 1e+300 -", "at `$.seconds`")),
    "NaN": (with_value(f"{FINDING}/estimate", float("nan")), ("NaN is no number", f"{AT}.estimate`")),
    "infinity in what is free": (with_value("claims/0/values", {"x": [[float("-inf")]]}), ("values.x[0][0]`",)),
    "text for a number": (with_value(f"{FINDING}/margin", "0.1"), ("got `str`", 'found "0.1"', f"{AT}.margin`")),
    "a number for text": (with_value("claims/0/title", 3), ("got `int`", "found 3", "at `$.claims[0].title`")),
    "an object for an array": (with_value("claims", {}), ("Expected `array`, got `object` - at `$.claims`",)),
    "a field that is missing": (with_value("claims/0/title", ...), ("missing required field `title`",)),
    "one end of an interval": (with_value(f"{FINDING}/interval", [0]), ("of length 2, got 1 -", f"{AT}.interval`")),
    "text for a truth": (with_value("claims/0/controls/0/sound", "yes"), ('found "yes"', "controls[0].sound`")),
    "no claims": (with_value("claims", ...), ("missing required field `claims`",)),
    "a list": ("[]", ("Expected `object`, got `array`",)),
    "an empty object": ("{}", ("missing required field `schema`",)),
    "half of it": ('{"schema": 1', ("is not JSON",)),
    "a verdict that is none": (with_value("claims/0/verdict", "FINE"), ("'FINE'", "at `$.claims[0].verdict`")),
    "a megabyte for a verdict": (with_value("claims/0/verdict", "V" * 10**6), ("at `$.claims[0].verdict`",)),
    "a date that is none": (with_value("started", "yesterday"), ('found "yesterday"', "at `$.started`")),
    "a date without a zone": (with_value("started", "2026-11-21T23:30:00"), ("found ", "at `$.started`")),
    "half of a record": (
        with_value("claims/0/record/predictions/1/reason", ...),
        ("'lr-drop-square-root-law'", "field `reason`"),
    ),
    "a record of something else": (with_value("claims/0/record", {"record": "Net"}), ("lr-drop", "`predictions`")),
    "another schema": (with_value("schema", 9), ("9", "at `$.schema`")),
    "nested without end": ("[" * 100_000, ("is not JSON",)),
    "no UTF-8": ("\udcff", ("is not JSON",)),
    "nothing": ("", ("is not JSON",)),
    "no file": (None, ("does not exist",)),
}
"""Evidence, and what the line about it must say."""
OF_RECORDS = {"a record of something else", "half of a record"}
"""Wrong in a part that only a page reads."""

READERS: dict[str, Callable[[Path, Path], list[str]]] = {
    "report": lambda folder, _: ["report", str(folder)],
    "compare": lambda folder, sound: ["compare", str(sound), str(folder)],
    "export": lambda folder, _: ["export", str(folder), "--csv", "--figures=svg"],
    "claims --check": lambda folder, _: ["claims", str(folder), "--check", str(folder / "evidence.json")],
    "claims --record": lambda folder, _: ["claims", str(folder), "--record", str(folder / "evidence.json")],
}
"""Every command that reads one report."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    write_report(typed(sample_evidence()), folder)
    return folder


def written(folder: Path, text: str | None) -> Path:
    if text is not None:
        (folder / "evidence.json").write_bytes(text.encode("utf-8", errors="surrogateescape"))
    return folder


def assert_one_line(error: str, folder: Path, told: tuple[str, ...]) -> None:
    assert error.count("\n") == 1
    assert len(error) < 900
    assert "Traceback" not in error
    assert str(folder / "evidence.json") in error
    for part in told:
        assert part in error


@pytest.mark.parametrize(
    ("command", "wrong"),
    [(command, wrong) for command in READERS for wrong in HOSTILE if command == "report" or wrong not in OF_RECORDS],
)
def test_one_line_names_file_field_value_and_what_is_allowed(
    command: str, wrong: str, tmp_path: Path, sound: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, told = HOSTILE[wrong]
    folder = written(tmp_path, text)
    assert main(READERS[command](folder, sound)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert_one_line(said.err, folder, told)
    assert {path.name for path in folder.iterdir()} <= {"evidence.json"}


def test_an_index_has_a_line_for_each_of_them(tmp_path: Path, sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sound").symlink_to(sound)
    write_report(typed(sample_evidence()), tmp_path / "good")
    texts = [text for text, _ in HOSTILE.values() if text is not None]
    for number, text in enumerate(texts):
        (tmp_path / f"bad-{number}").mkdir()
        written(tmp_path / f"bad-{number}", text)
    assert main(["index", str(tmp_path)]) == 0
    *left_out, last = capsys.readouterr().out.splitlines()
    assert last == str(tmp_path / "index.html")
    assert len(left_out) == len(texts) - len(OF_RECORDS)
    assert all(line.startswith("left out: ") and len(line) < 900 for line in left_out)


SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9">'
DEEP = "<g>" * 20_000 + "</g>" * 20_000
FIGURES = {
    "a script": ("<script>alert(1)</script>", "it holds <script>"),
    "a foreign object": ("<foreignObject><p>x</p></foreignObject>", "it holds <foreignObject>"),
    "a refresh": ('<meta http-equiv="refresh" content="0"/>', "it holds <meta>"),
    "a link": ('<a href="https://example.org"><text>x</text></a>', "it holds <a>"),
    "an event handler": ('<rect onclick="alert(1)"/>', "has the attribute onclick"),
    "an image from elsewhere": ('<image href="https://example.org/x.png"/>', "refers to something outside of it"),
    "a use from elsewhere": ('<use xlink:href="https://example.org/x.svg#a"/>', "refers to something outside of it"),
    "a fill from elsewhere": ('<rect style="fill: url(https://example.org)"/>', "refers to something outside of it"),
    "a style that ends": ('<path style="fill: red} * {color: red"/>', "refers to something outside of it"),
    "an animation": ('<animate attributeName="href"/>', "it holds <animate>"),
    "a null byte": ("<text>a\x00b</text>", "is not well-formed SVG"),
    "half a surrogate": ("<text>\ud800</text>", "is not well-formed SVG"),
    "depth without end": (DEEP, "it is nested too deep"),
}


@pytest.mark.parametrize("command", ["report", "export"])
@pytest.mark.parametrize("wrong", FIGURES)
def test_a_figure_that_is_more_than_a_drawing_is_one_line(
    command: str, wrong: str, tmp_path: Path, sound: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inside, told = FIGURES[wrong]
    claims = [claim("one", "NOT RUN", figures=[f"{SVG}{inside}</svg>"])]
    folder = written(tmp_path, json.dumps(sample_evidence() | {"claims": claims}))
    assert main(READERS[command](folder, sound)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "figure 1 of " in error
    assert "'one'" in error
    assert told in error
    assert [path.name for path in folder.iterdir()] == ["evidence.json"]


@pytest.mark.parametrize(
    "figure",
    [
        f'{SVG}<path d="M 1e400 0 L 0 1 z"/></svg>',
        f'{SVG}<defs><path id="a" d="M 0 0 L 1 1"/></defs><use xlink:href="#a" x="a.b" y="1e999"/></svg>',
        f'{SVG}<text style="font-size: 0px">x</text><text style="font-size: ..px">y</text></svg>',
        f'{SVG}<use xlink:href="#nowhere"/><rect style="fill: url(#nowhere)"/></svg>',
        f'{SVG}<path d="{"M 0 0 L 1 1 " * 50}A 1 1 0 0 0 2 2"/></svg>',
        f"{SVG}<g/><g><g><defs/></g></g></svg>",
        "<svg/>",
    ],
)
def test_a_strange_drawing_is_drawn(figure: str, tmp_path: Path) -> None:
    evidence = typed(sample_evidence() | {"claims": [claim("one", "NOT RUN", figures=[figure])]})
    write_report(evidence, tmp_path)
    Page((tmp_path / "index.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("view_box", ["0 0", "a b c d", "0 0 9 9; x", "0 0 -1 1", "1e9 nan inf 0"])
def test_a_view_box_is_four_numbers(view_box: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = f'<svg viewBox="{view_box}"/>'
    claims = [claim("one", "NOT RUN", figures=[figure])]
    assert main(["report", str(written(tmp_path, json.dumps(sample_evidence() | {"claims": claims})))]) == 2
    assert "its viewBox is" in capsys.readouterr().err


TEXTS = {
    "markup": '<script>alert(1)</script><b>"&amp;',
    "terminal": "\x1b[31mred\x1b]0;title\x07",
    "a null byte": "a\x00b",
    "half a surrogate": "a\ud800b",
    "lines": "one\ntwo\r\nthree\u2028four",
    "a megabyte": "long " * 200_000,
    "a template": "{{ 7 * 7 }}{% raw %}",
}


@pytest.mark.parametrize("kind", TEXTS)
def test_hostile_text_stays_text_in_everything_that_is_made(
    kind: str, tmp_path: Path, sound: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = TEXTS[kind]
    told = claim("one", "REFUTED", findings=[finding(text, "REFUTED")])
    told |= dict.fromkeys(("title", "source", "statement", "message", "regime", "file"), text)
    evidence = sample_evidence()
    evidence |= {"claims": [told, *evidence["claims"][1:]], "scale": text}
    evidence["provenance"] |= dict.fromkeys(("git", "cpu", "torch", "repository", "platform"), text)
    evidence["invocation"] |= {"command": text, "selected": [text], "overrides": {text: text}}
    folder = written(tmp_path, json.dumps(evidence))
    for command in ("report", "export", "compare"):
        assert main(READERS[command](folder, sound)) in (0, 1), capsys.readouterr().err
    assert main(["compare", str(sound), str(folder), f"--html={folder / 'compared.html'}"]) in (0, 1)
    said = capsys.readouterr()
    assert "\x1b" not in said.out
    assert "\x00" not in said.out
    for name in (*MADE, "compared.html"):
        made = (folder / name).read_text(encoding="utf-8")
        assert "<script>alert" not in made, name
        assert "\x00" not in made, name
        assert "\x1b" not in made, name
        assert "{{ 7" in made or kind != "a template" or name == "badge.svg"


@pytest.mark.parametrize("identity", ["../../escaped", "a/b", "", ".hidden", "a\x00b", "a\nb"])
def test_no_claim_can_name_a_file_elsewhere(identity: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = claim("one", "REPRODUCED", findings=[finding("x")]) | {"id": identity}
    told["looks"] = [{"n": 8, "level": 0.005, "findings": [], "verdict": "REPRODUCED", "controls": {}}]
    written(tmp_path, json.dumps(sample_evidence() | {"claims": [told]}))
    claims = tmp_path / "inner" / "claims"
    claims.mkdir(parents=True)
    assert main(["claims", str(claims), "--record", str(tmp_path / "evidence.json")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "cannot name a file" in error
    assert not list(tmp_path.rglob("*.toml"))


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b", "a\x7fb", "a\nb"])
def test_what_cannot_be_written_down_leaves_the_history_as_it_was(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = sample_evidence()["claims"][0] | {"regime": text}
    assert told["looks"]
    written(tmp_path, json.dumps(sample_evidence() | {"claims": [told]}))
    history = tmp_path / "history" / f"{told['id']}.toml"
    history.parent.mkdir()
    history.write_text("attempts = []\n", encoding="utf-8")
    assert main(["claims", str(tmp_path), "--record", str(tmp_path / "evidence.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert history.read_text(encoding="utf-8") == "attempts = []\n"
