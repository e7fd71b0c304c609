"""The parameters cell of a notebook: names, defaults, and how a text that is given for one of them is read."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from pathlib import Path

from contrec import paths
from contrec.checks import nearest
from contrec.given import KINDS


def parameters_of(path: Path) -> dict:
    """Names and defaults in the parameters cell of a notebook.

    Raises:
        ValueError: unless exactly one cell is tagged ``parameters`` and it holds nothing but ``name = literal`` lines,
            or ``name: kind = literal`` with a kind of :data:`contrec.given.KINDS`.
    """
    return {name: default for name, (default, _) in declared(path).items()}


def read_parameters(path: Path, given: Iterable[tuple[str, str]]) -> dict:
    """Values of a notebook's parameters that are given as text, as on a command line.

    The kind of a parameter says how its text is read: that of its default or, where the default is None, the one that
    its line names (``user: str = None``). Text stays text, whatever it looks like.

    Raises:
        ValueError: for a parameter that the notebook does not have, or a text that is not of its kind.
    """
    known, found = declared(path), {}
    for parameter, text in given:
        check_names(path, [parameter], known)
        default, kind = known[parameter]
        wanted, read = KINDS[kind]
        try:
            found[parameter] = None if text == "None" and default is None and kind != "str" else read(text)
        except ValueError:
            raise ValueError(f"{path.stem}: {parameter} wants {wanted}, got {text!r}") from None
    return found


def check_names(path: Path, names: Iterable[str], declared: Iterable[str]) -> None:
    """Raise ValueError, naming the nearest, where a notebook does not have a parameter."""
    unknown = [name for name in names if name not in declared]
    if unknown:
        raise ValueError(
            f"{path.stem} has no parameter {', '.join(unknown)}{nearest(unknown[0], declared)}; "
            f"its parameters are: {', '.join(declared)}"
        )


def with_absolute_paths(parameters: dict) -> dict:
    """``parameters`` for a kernel that starts elsewhere: "path" and "..._path" name files from the caller's folder."""
    names_file = lambda name, value: (name == "path" or name.endswith("_path")) and value is not None  # noqa: E731
    return {k: str(paths.absolute(v)) if names_file(k, v) else v for k, v in parameters.items()}


def cells(path: Path) -> list[dict]:
    """The cells of a notebook.

    Raises:
        ValueError: naming the file, if it is no notebook.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
        return [{**cell, "source": "".join(cell["source"]), "cell_type": cell["cell_type"]} for cell in found]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} is no notebook, or is damaged ({reason}); restore it") from None


def declared(path: Path) -> dict[str, tuple[object, str]]:
    """Default and kind of each parameter; see :func:`parameters_of`."""
    path = Path(path)
    tagged = [c["source"] for c in cells(path) if "parameters" in (c.get("metadata") or {}).get("tags", [])]
    if len(tagged) != 1:
        raise ValueError(f"{path.name} must have exactly one cell tagged 'parameters', found {len(tagged)}")
    try:
        lines = ast.parse(tagged[0]).body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ValueError(f"{path.name}: the cell tagged 'parameters' is no Python: {error}") from None
    found = {}
    for line in lines:
        try:
            name, default, kind = _parameter(line)
        except (ValueError, TypeError):
            rule = f"'name = literal' lines, or 'name: kind = literal' with a kind of {', '.join(KINDS)}"
            raise ValueError(f"{path.name}: parameters must be {rule}; got: {ast.unparse(line)}") from None
        found[name] = default, kind
    return found


def _parameter(line: ast.stmt) -> tuple[str, object, str]:
    """Name, default and kind of a line of the parameters cell; ValueError if it is another line."""
    annotated = isinstance(line, ast.AnnAssign) and line.value is not None
    targets = line.targets if isinstance(line, ast.Assign) else [line.target] if annotated else []
    if len(targets) != 1 or not isinstance(targets[0], ast.Name):
        raise ValueError
    default = ast.literal_eval(line.value)
    kind = ast.unparse(line.annotation) if annotated else type(default).__name__
    if isinstance(default, list) and not annotated:
        kind = f"list[{type(default[0]).__name__ if default else 'str'}]"
    if annotated and kind not in KINDS:
        raise ValueError
    return targets[0].id, default, kind if kind in KINDS else "literal"
