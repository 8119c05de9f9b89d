"""What pyproject.toml promises of other packages, and of the shape of this one."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MOST_MODULES, MOST_LINES = 12, 350
"""In one package, and in one module."""


def lower_bounds() -> dict[str, list[int]]:
    """The lowest version of each package that may be installed, as numbers."""
    project = PYPROJECT["project"]
    requirements = project["dependencies"] + project["optional-dependencies"]["dev"]
    bounds = {}
    for requirement in requirements:
        name, version = re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", requirement).groups()
        bounds[name] = [int(part) for part in version.split(".")]
    return bounds


def test_the_lowest_versions_tested_are_the_lower_bounds() -> None:
    pinned = {}
    for line in (ROOT / "tests" / "lowest.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, _, version = line.partition("==")
            pinned[name] = [int(part) for part in version.split(".")]
    # A dependency of a dependency.
    del pinned["pyparsing"]
    # Lower bounds leave out zeros at the end.
    assert pinned == {name: bound + [0] * (3 - len(bound)) for name, bound in lower_bounds().items()}


def test_rooms_are_small() -> None:
    for package in [ROOT / "ilr", *(path for path in (ROOT / "ilr").rglob("*") if path.is_dir())]:
        modules = list(package.glob("*.py"))
        assert len(modules) <= MOST_MODULES, package
        for module in modules:
            assert len(module.read_text(encoding="utf-8").splitlines()) <= MOST_LINES, module


def test_installing_adds_nothing_to_the_pytest_of_others() -> None:
    assert "pytest11" not in PYPROJECT["project"].get("entry-points", {})
