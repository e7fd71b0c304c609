"""What there is to report: recorded tables and figures with their provenance, and the executed notebooks of a run."""

from __future__ import annotations

import base64
import binascii
import json
import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from contrec import paths
from contrec.artifacts import stale
from contrec.report import markup
from contrec.report.notebooks import all_notebooks
from contrec.report.parameters import cells
from contrec.study.recording import read_table

TAG, HEADLINE = "report", "headline"  # of a notebook's cells: shown in the report; shown among the first tables


@dataclass(frozen=True)
class Record:
    """A recorded CSV, or a figure of one name in several formats, with what its provenance record says ({} if none)."""

    path: Path  # of the CSV or, without an ending, of the figure
    entry: dict

    @property
    def name(self) -> str:
        return self.path.relative_to(paths.root()).as_posix()

    def below(self, pattern: str) -> bool:
        """Whether its path below ``data/reproduced`` fits a pattern ("*" stays within one folder)."""
        below = self.path.relative_to(paths.reproduced())
        return below.match(pattern) and len(below.parts) == len(Path(pattern).parts)

    @property
    def note(self) -> str:
        """What stands behind its name: that it is stale, and which of its rows; else nothing."""
        return stale.note(self.path)

    @property
    def notebook(self) -> str | None:
        return self.entry.get("notebook")

    @cached_property
    def frame(self) -> pd.DataFrame:
        path = self.path.with_suffix(".csv")
        return read_table(path) if path.is_file() else pd.DataFrame()

    def about(self, made: dict[str, str]) -> dict[str, str]:
        """Where it comes from, a short text for each of dataset, preset, ..., what is not known left out.

        Args:
            made: date of each commit (:func:`commits`).
        """
        config = self.entry.get("config", {})
        config = config.get("study", config)
        commit = self.entry.get("revision", {}).get("commit")
        rows = {f"{n:,}": name for name, n in self.entry.get("rows", {}).items()}
        if "n_users" in self.frame:
            rows = {f"{n:,}": "users" for n in sorted(set(self.frame.n_users))}
        found = {
            "dataset": self.entry.get("dataset", {}).get("name"),
            **{name: config.get(name) for name in ("split", "preset", "recipe")},
            "seeds": ", ".join(str(s) for s in self.entry.get("seeds", [])),
            "n": ", ".join(f"{n} {name}" for n, name in rows.items()),
            "revision": commit and commit[:7] + ("" if self.entry["revision"].get("clean") else "+changes"),
            "made at": made.get(commit),
            "fingerprint": self.entry.get("fingerprint"),
            "stale": stale.reason(self.path),
        }
        return {name: str(value) for name, value in found.items() if value not in (None, "", "none")}


@dataclass(frozen=True)
class Piece:
    """Output of one cell: the heading above it, whether it is a headline, and its HTML."""

    heading: str
    headline: bool
    html: str


@dataclass(frozen=True)
class Notebook:
    """A notebook of the project, and its execution in this run (``seconds`` None: not executed)."""

    stem: str
    question: str
    about: str = ""
    seconds: float | None = None
    error: str | None = None
    pieces: tuple[Piece, ...] = ()
    has_page: bool = False  # whether its HTML lies beside it


def records() -> list[Record]:
    """Every CSV below ``data/reproduced``, by name."""
    return [Record(path, _entry(path)) for path in sorted(paths.reproduced().rglob("*.csv"))]


def figures() -> list[Record]:
    """Every recorded figure, by name."""
    stems = {path.with_suffix("") for ending in ("svg", "png") for path in paths.figures().glob(f"*.{ending}")}
    return [Record(stem, _entry(stem)) for stem in sorted(stems)]


def _entry(path: Path) -> dict:
    beside = path.with_suffix(".json")
    return json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}


def commits() -> dict[str, str]:
    """Date of every commit of the project, as 2026-01-31; none outside git."""
    command = ["git", "-C", str(paths.root()), "log", "--format=%H %cs"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return {}
    return dict(line.split() for line in lines)


def notebooks(folder: Path) -> list[Notebook]:
    """The project's notebooks in order, each as it was executed in ``folder`` where it was."""
    return [read(path, folder / path.name) for path in all_notebooks()]


def read(source: Path, executed: Path) -> Notebook:
    """One notebook, with the outputs of its cells tagged :data:`TAG` if it was executed.

    Raises:
        ValueError: naming the file, if one of the two is no notebook.
    """
    question = _question(cells(source))
    if not executed.is_file():
        return Notebook(source.stem, question)
    try:
        return _executed(source.stem, question, executed)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{executed} is no executed notebook, or is damaged ({reason}); remove it") from None


def _executed(stem: str, question: str, executed: Path) -> Notebook:
    notebook = json.loads(executed.read_text(encoding="utf-8"))
    run = notebook["metadata"].get("papermill", {})
    line, error, pieces, above = "", None, [], ("", "")
    for cell in notebook["cells"]:
        words = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            title = re.search(r"^#+ (.*)", words, flags=re.M)
            above = (markup.plain(title[1]) if title else above[0], markup.plain(re.sub(r"^#+ .*", "", words)))
            continue
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                error = f"{output['ename']}: {' '.join(str(output['evalue']).split())}"
            if output["output_type"] == "stream" and "".join(output["text"]).startswith("config "):
                line = " ".join("".join(output["text"]).splitlines()[0].split())  # provenance.show
        tags = cell["metadata"].get("tags", [])
        fold = None if HEADLINE in tags else 0
        shown = "".join(_output(o, *above, fold) for o in cell.get("outputs", [])) if TAG in tags else ""
        if shown:
            pieces.append(Piece(above[0], HEADLINE in tags, shown))
    parameters = run.get("parameters", {})
    words = [str(parameters[name]) for name in ("dataset", "preset", "recipe") if name in parameters]
    words += [f"seeds {', '.join(map(str, parameters['seeds']))}"] if "seeds" in parameters else []
    words += [line, (run.get("end_time") or "")[:16].replace("T", " ")]
    about = " · ".join(word for word in words if word)
    seconds, page = float(run.get("duration") or 0.0), executed.with_suffix(".html").is_file()
    return Notebook(stem, question, about, seconds, error, tuple(pieces), page)


def _question(of: list[dict]) -> str:
    first = of[0]["source"] if of else ""
    return markup.plain(first.partition("\n")[0])


def _output(output: dict, heading: str, before: str, fold: int | None) -> str:
    """Tables, images and printed text of a cell; what is written to stderr is none of the result."""
    data = output.get("data", {})
    if "text/html" in data:
        return markup.tables("".join(data["text/html"]), heading, fold)
    if "image/png" in data:
        try:
            image = base64.b64decode("".join(data["image/png"]))
        except binascii.Error:
            return ""
        return markup.figure(image, "png", f"{heading}. {before[:300]}", markup.text(heading))
    if output.get("name") == "stdout":
        return f'<pre tabindex="0">{markup.text("".join(output["text"]).strip())}</pre>'
    return ""
