"""Claims as they are written down in a folder, and what has changed in them since a report was made."""

import ast
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest

from ilr.report.evidence import Evidence
from ilr.serialization import decisive, differences, to_json
from ilr.trials.claim import Claim


def claim_modules(folder: Path) -> list[ModuleType]:
    """The files of a folder that declare a CLAIM, as modules, in order of name.

    Raises:
        ValueError: the folder holds none, or one of them cannot be imported.
    """
    paths = [path for path in sorted(folder.glob("test_*.py")) if _declares_claim(path)]
    if not paths:
        raise ValueError(f"{folder} holds no claim: no test_*.py there declares a CLAIM")
    return [load_module(path) for path in paths]


def holds_claim(path: Path) -> bool:
    """Whether a file, or one in a folder, declares a CLAIM; what cannot be parsed may."""
    for file in sorted(path.rglob("test_*.py")) if path.is_dir() else [path]:
        try:
            if _declares_claim(file):
                return True
        except (OSError, ValueError):
            return True
    return False


def _declares_claim(path: Path) -> bool:
    """Whether a file assigns CLAIM, read from its source: importing every test there may be would run their code."""
    try:
        body = ast.parse(path.read_bytes()).body
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{path} cannot be parsed: {error}") from None
    assigned: list[ast.expr] = []
    for node in body:
        # A text of that name is no claim: tests keep claims' files in such.
        if isinstance(node, ast.Assign | ast.AnnAssign) and not _is_text(node.value):
            assigned += node.targets if isinstance(node, ast.Assign) else [node.target]
    return any(isinstance(target, ast.Name) and target.id == "CLAIM" for target in assigned)


def _is_text(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def load_module(path: Path) -> ModuleType:
    """A claim's file as the module that pytest makes of it, but compiled afresh.

    While it is loaded it stands in `sys.modules` and its folder is importable, as in pytest's prepend mode, so it may
    import what lies beside it. Afterwards that is forgotten: whoever loads it again gets what is written then.

    Raises:
        ValueError: it cannot be imported; in one line.
    """
    path = path.absolute()
    root, name = path.parent, path.stem
    while (root / "__init__.py").exists():  # in a package, modules are named from its outermost folder on
        root, name = root.parent, f"{root.name}.{name}"
    spec = spec_from_file_location(name, path)
    assert spec is not None
    module = module_from_spec(spec)
    loaded = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)  # what Python remembers of folders is forgotten, too
        patch.setitem(sys.modules, name, module)
        # Bytecode is told from its source by size and second, and a margin may change within both.
        patch.setattr(sys, "dont_write_bytecode", True)
        try:
            exec(compile(path.read_bytes(), path, "exec"), vars(module))
        except Exception as error:  # whatever a stranger's file raises, the answer is one line
            raise ValueError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
        finally:
            # What lies beside the file is loaded again with the next one; libraries are not.
            for other in set(sys.modules) - loaded - {name}:
                file = getattr(sys.modules[other], "__file__", None)
                if file is not None and Path(file).parent == path.parent:
                    del sys.modules[other]
    return module


@dataclass(frozen=True)
class Comparison:
    """One claim then and now."""

    id: str
    status: Literal["unchanged", "CHANGED", "ADDED", "REMOVED"]
    changes: tuple[str, ...] = ()

    @property
    def breaks(self) -> bool:
        """Whether a rule is no longer the one that was registered; a new claim was judged by nobody yet."""
        return self.status in ("CHANGED", "REMOVED")


def compare(evidence: Evidence, claims: Sequence[Claim]) -> list[Comparison]:
    """Every claim of an evidence file, and every one of `claims`, then and now."""
    before = {claim.id: claim.record for claim in evidence.claims}
    now = {claim.id: claim for claim in claims}
    comparisons = []
    for claim_id in dict.fromkeys((*before, *now)):
        if claim_id not in now:
            comparisons.append(Comparison(claim_id, "REMOVED"))
        elif claim_id not in before:
            comparisons.append(Comparison(claim_id, "ADDED"))
        else:
            found = tuple(changes(before[claim_id], now[claim_id]))
            comparisons.append(Comparison(claim_id, "CHANGED" if found else "unchanged", found))
    return comparisons


def changes(before: Mapping[str, Any], now: Claim) -> list[str]:
    """What differs between a claim's record in an evidence file and the claim as it is written now, a line a field.

    What only tells of a claim, its question for one, may be put into other words.
    """
    return list(differences(decisive(before), decisive(to_json(now))))
