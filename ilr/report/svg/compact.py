"""A figure in fewer bytes that looks the same: a page holds some thirty of them."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

LONG_PATH = 400
"""Characters of a path from which on it is a curve, and no mark."""
_TENTHS_OFF = 1.0
"""How far a thinned curve may lie from its points, in tenths of a unit: a line is fourteen wide."""
_FURTHEST = 1e6
"""No place of a drawing is further out, in units; a path with one that is stays as it is."""

_TOKEN = re.compile(r"[A-Za-z]|-?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?")
_PAIRS = {"M": 1, "L": 1, "Q": 2, "C": 3, "Z": 0}
"""Commands that matplotlib writes, in capitals as absolute places, with how many places each has."""
_NO_TURN = re.compile(r"rotate\(-?0(\s[^)]*)?\)")
_ID = re.compile(r"#([\w.:-]+)")


def compact(panels: Sequence[ElementTree.Element], prefix: str) -> None:
    """Takes out of the drawings of one figure whatever changes nothing that is seen.

    Args:
        panels: the drawings, which may refer to parts of each other; changed in place.
        prefix: stands before every id and class that they are left with.
    """
    for panel in panels:
        for one in panel.iter():
            if _NO_TURN.fullmatch(one.get("transform", "")):
                del one.attrib["transform"]
    _draw_in_place(panels)
    _say_once(panels)
    for panel in panels:
        _flatten(panel)
    _rename(panels, prefix)
    for panel in panels:
        for one in panel.iter("path"):
            if "d" in one.attrib:
                one.set("d", shortened(one.attrib["d"]))
    _share_styles(panels, prefix)


def shortened(path: str) -> str:
    """A path's data in relative places: of a curve in tenths of a unit and thinned, of a mark in hundredths.

    >>> shortened("M 10 10 L 10.501 9.4 L 12 9.4 z")
    'M10 10l.5-.6 1.5 0z'
    """
    steps = list(_steps(path))
    if not steps:
        return " ".join(path.split())
    is_curve = len(path) > LONG_PATH
    decimals = 1 if is_curve else 2
    written, before, last, begun = "", np.zeros(2, np.int64), "", np.zeros(2, np.int64)
    for command, points in _thinned(steps, decimals) if is_curve else _in_units(steps, decimals):
        if command == "Z":
            written, before, last = f"{written}z", begun, ""
            continue
        if command == "M":
            written, begun, last = f"{written}M{_told(points, decimals)}", points[-1], "M"
        else:
            numbers = _told(points - before, decimals)
            if last == command:
                written += numbers if numbers.startswith("-") else f" {numbers}"
            else:
                written, last = f"{written}{command.lower()}{numbers}", command
        before = points[-1]
    return written


Step = tuple[str, npt.NDArray[np.float64]]
"""A command in capitals and its places, [place, x and y]."""


def _steps(path: str) -> Iterator[Step]:
    """The commands of a path; none if it has one that matplotlib does not write."""
    tokens = _TOKEN.findall(path)
    found: list[Step] = []
    at = 0
    while at < len(tokens):
        command = tokens[at].upper() if tokens[at] in "zZ" else tokens[at]
        if command not in _PAIRS:
            return
        size = 2 * _PAIRS[command]
        numbers = tokens[at + 1 : at + 1 + size]
        if len(numbers) < size or any(one.isalpha() for one in numbers) or (not found and command != "M"):
            return
        places = np.array(numbers, np.float64).reshape(-1, 2)
        if not (np.abs(places) < _FURTHEST).all():
            return
        found.append((command, places))
        at += 1 + size
    yield from found


def _in_units(steps: Sequence[Step], decimals: int) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    """The places as whole numbers of the smallest unit that is written."""
    for command, points in steps:
        yield command, np.rint(points * 10**decimals).astype(np.int64)


def _thinned(steps: Sequence[Step], decimals: int) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    """The same without the points of a line that lie on it anyway."""
    rounded = list(_in_units(steps, decimals))
    at = 0
    while at < len(rounded):
        end = at + 1
        while rounded[at][0] in "ML" and end < len(rounded) and rounded[end][0] == "L":
            end += 1
        run = rounded[at:end]
        if len(run) > 2:
            points = np.concatenate([places for _, places in run])
            run = [run[corner] for corner in _corners(points)]
        yield from run
        at = end


def _corners(points: npt.NDArray[np.int64]) -> list[int]:
    """Which points of a line, [point, x and y], it needs to come near all others (Ramer, Douglas and Peucker)."""
    kept, open_ends = {0, len(points) - 1}, [(0, len(points) - 1)]
    while open_ends:
        first, last = open_ends.pop()
        if last - first < 2:
            continue
        along = points[last] - points[first]
        away = points[first + 1 : last] - points[first]
        length = float(along @ along)
        # Where on the chord each point is nearest to it; of a closed line both ends are one place.
        share = np.clip(away @ along / length, 0.0, 1.0) if length else np.zeros(len(away))
        distances = np.hypot(*(away - share[:, None] * along).T)
        furthest = int(distances.argmax())
        if distances[furthest] > _TENTHS_OFF:
            middle = first + 1 + furthest
            kept.add(middle)
            open_ends += [(first, middle), (middle, last)]
    return sorted(kept)


def _told(places: npt.NDArray[np.int64], decimals: int) -> str:
    """Whole numbers of units as decimals, with no more between them than tells them apart."""
    text = ""
    for number in places.ravel().tolist():
        digits = f"{abs(number) / 10**decimals:.{decimals}f}".rstrip("0").rstrip(".")
        short = ("-" if number < 0 else "") + (digits.removeprefix("0") or "0")
        text += short if not text or short.startswith("-") else f" {short}"
    return text


def _declarations(one: ElementTree.Element) -> dict[str, str]:
    """An element's style by property."""
    pairs = (part.partition(":") for part in one.get("style", "").split(";") if part)
    return {name: value for name, _, value in pairs}


def _style(one: ElementTree.Element, declarations: dict[str, str]) -> None:
    text = ";".join(f"{name}:{value}" for name, value in declarations.items())
    if text:
        one.set("style", text)
    else:
        one.attrib.pop("style", None)


def _references(panels: Sequence[ElementTree.Element]) -> Counter[str]:
    """How often each id is referred to."""
    found: Counter[str] = Counter()
    for panel in panels:
        for one in panel.iter():
            for name, value in one.items():
                if name != "id" and "#" in value:
                    found.update(_ID.findall(value))
    return found


def _draw_in_place(panels: Sequence[ElementTree.Element]) -> None:
    """What is defined and used once is drawn where it is used; what is used often is told its style once."""
    defined = {
        child.get("id", ""): (definitions, child)
        for panel in panels
        for definitions in panel.iter("defs")
        for child in definitions
        if child.tag == "path"
    }
    counts = _references(panels)
    for panel in panels:
        for use in list(panel.iter("use")):
            name = use.get("href", "").removeprefix("#")
            if name not in defined:
                continue
            definitions, target = defined[name]
            own, given = _declarations(target), _declarations(use)
            if "opacity" in own or "opacity" in given:
                continue
            if counts[name] > 1:
                _style(use, {one: value for one, value in given.items() if one not in own})
                continue
            steps = list(_steps(target.get("d", "")))
            if not steps or set(use.keys()) - {"href", "x", "y", "style"}:
                continue
            shift = np.array([_length(use.get("x", "0")), _length(use.get("y", "0"))])
            if not (np.abs(shift) < _FURTHEST).all():
                continue
            moved = ((command, points + shift) for command, points in steps)
            use.tag = "path"
            use.attrib.clear()
            use.set("d", " ".join(" ".join([one, *(f"{x:.6g}" for x in at.ravel())]) for one, at in moved))
            _style(use, given | own)
            definitions.remove(target)


def _length(text: str) -> float:
    """A length without a unit; infinite where it is another."""
    return float(text) if re.fullmatch(r"-?\d+\.?\d*", text) else np.inf


def _say_once(panels: Sequence[ElementTree.Element]) -> None:
    """What all markers of a line have in common is said of the line."""
    for panel in panels:
        for one in panel.iter():
            styles = {child.get("style", "") for child in one if child.tag == "use"}
            # Opacity is not inherited: it would be that of the group.
            if len(one) > 1 and len(styles) == 1 and all(child.tag == "use" for child in one) and not one.get("style"):
                [style] = styles
                if style and not re.search(r"(^|;)opacity", style):
                    one.set("style", style)
                    for child in one:
                        child.attrib.pop("style", None)


def _flatten(parent: ElementTree.Element) -> None:
    """Takes out groups that say nothing of what is in them; ids that matter are names of other parts."""
    children: list[ElementTree.Element] = []
    for child in parent:
        _flatten(child)
        attributes = set(child.keys()) - {"id"}
        if child.tag in ("g", "defs") and not len(child):
            continue
        if child.tag == "g" and not attributes:
            children += list(child)
        elif child.tag == "g" and attributes == {"clip-path"} and [one.tag for one in child] == ["path"]:
            [only] = child
            if "clip-path" not in only.attrib and "transform" not in only.attrib:
                only.set("clip-path", child.attrib["clip-path"])
                children.append(only)
            else:
                children.append(child)
        else:
            children.append(child)
    parent[:] = children


def _rename(panels: Sequence[ElementTree.Element], prefix: str) -> None:
    """Short ids where something refers to them, none elsewhere."""
    used = _references(panels)
    names: dict[str, str] = {}
    elements = [one for panel in panels for one in panel.iter()]
    for one in elements:
        name = one.attrib.pop("id", "")
        if name in used and name not in names:
            names[name] = f"{prefix}{_letters(len(names))}"
            one.set("id", names[name])
    for one in elements:
        for attribute, value in one.items():
            if attribute != "id" and "#" in value:
                # A colour has a number sign, too, and is no id.
                one.set(attribute, _ID.sub(lambda found: f"#{names.get(found[1], found[1])}", value))


def _share_styles(panels: Sequence[ElementTree.Element], prefix: str) -> None:
    """A style that several parts have is told once, as a class that no other figure of a page has."""
    counts = Counter(one.get("style", "") for panel in panels for one in panel.iter())
    shared = [style for style, count in counts.items() if style and count > 1]
    classes = {style: f"{prefix}{_letters(number)}" for number, style in enumerate(shared)}
    for panel in panels:
        for one in panel.iter():
            if one.get("style", "") in classes and "class" not in one.attrib:
                one.set("class", classes[one.attrib.pop("style")])
    if classes:
        sheet = ElementTree.Element("style")
        sheet.text = "".join(f".{name}{{{style}}}" for style, name in classes.items())
        panels[0].insert(0, sheet)


def _letters(number: int) -> str:
    """A short name for each number.

    >>> _letters(0), _letters(25), _letters(26)
    ('a', 'z', 'ba')
    """
    name = ""
    while True:
        number, digit = divmod(number, 26)
        name = chr(ord("a") + digit) + name
        if not number:
            return name
