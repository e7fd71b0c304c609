"""Notebooks without a browser: parameters checked, executed by papermill in this interpreter, outputs kept."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contrec import paths
from contrec.checks import nearest, positive
from contrec.files import replacing_all, room
from contrec.report.parameters import check_names, parameters_of, with_absolute_paths
from contrec.study.parallel import processes

KERNEL = "contrec"


@dataclass(frozen=True)
class Outcome:
    """One executed notebook: where it lies, how long it took (seconds), and what went wrong (None if nothing did)."""

    name: str
    path: Path
    seconds: float
    error: str | None = None


def all_notebooks() -> list[Path]:
    """Every notebook of the project, in the order of their numbers."""
    return sorted(paths.notebooks().glob("[0-9]*.ipynb"))


def find_notebook(name: str) -> Path:
    """A notebook by its path, its name, or the start of its name ("03", "03_training").

    A relative path starts in the folder that is worked in.

    Raises:
        ValueError: if none or several match.
    """
    if name.endswith(".ipynb") and paths.absolute(name).is_file():
        return paths.absolute(name)
    stem = name.removesuffix(".ipynb")
    found = [p for p in all_notebooks() if p.stem == stem] or [p for p in all_notebooks() if p.stem.startswith(stem)]
    if len(found) != 1:
        known = ", ".join(p.stem for p in all_notebooks()) or "none"
        match = "several notebooks match" if found else "no notebook matches"
        close = "" if found else nearest(stem, [p.stem for p in all_notebooks()])
        raise ValueError(f"{match} {name!r}{close}; there are: {known}")
    return found[0]


def run_notebook(name: str, parameters: dict, out_dir: Path, *, progress: bool = False) -> Outcome:
    """Execute one notebook and keep it, with its outputs, as ``.ipynb`` and ``.html`` in ``out_dir``.

    The kernel is this very interpreter, whichever kernels are installed, and starts in the notebook's folder; what
    names files (:func:`contrec.report.parameters.with_absolute_paths`, and the environment's folders) is told to it
    from the folder of the caller. A notebook that stops with an error, or whose kernel dies, is kept as far as it came,
    and the outcome says where it stopped.

    Args:
        parameters: values in place of the notebook's defaults.
        progress: whether to show a bar over its cells.

    Raises:
        ValueError: for a parameter that the notebook does not have (its parameters are named), or no such notebook, or
            one that is damaged.
    """
    import nbformat
    import papermill

    from contrec.report import offline

    source = find_notebook(name)
    check_names(source, parameters, parameters_of(source))
    try:
        nbformat.read(source, as_version=4)
    except nbformat.ValidationError as damaged:
        raise ValueError(f"{source} is damaged ({damaged.message}); restore it") from None
    target = Path(out_dir).resolve() / source.name
    start, error = time.perf_counter(), None
    scratch = tempfile.gettempdir()
    with _this_interpreter(), room(scratch), tempfile.TemporaryDirectory(dir=scratch) as folder:
        made = Path(folder) / source.name
        try:
            papermill.execute_notebook(
                _literal(source),
                _literal(made),
                with_absolute_paths(parameters),
                kernel_name=KERNEL,
                language="python",
                cwd=str(source.parent),
                progress_bar={"desc": source.stem, "leave": False, "disable": not progress},
            )
        except papermill.PapermillExecutionError as stopped:
            error = f"cell {stopped.exec_count}: {stopped.ename}: {' '.join(str(stopped.evalue).split())}"
        except RuntimeError as died:  # DeadKernelError is one; others tell of a kernel that does not start
            error = f"its kernel: {died}; there may be too little memory"
        executed = nbformat.read(made, as_version=4)
    executed.metadata.papermill.output_path = str(target)
    with replacing_all(target, target.with_suffix(".html")) as (part, page):
        part.write_text(nbformat.writes(executed) + "\n", encoding="utf-8")
        page.write_text(offline.page(executed), encoding="utf-8")
    return Outcome(source.stem, target, time.perf_counter() - start, error)


def run_all(
    parameters: dict, out_dir: Path, *, workers: int = 1, say: Callable[[str], None] = print, progress: bool = False
) -> list[Outcome]:
    """Execute every notebook, begun in order, each with those of ``parameters`` that it has.

    ``say`` gets one line about each as it ends. A notebook that fails does not stop the others.

    Args:
        workers: notebooks at a time. Two or more have one thread each; what one of them makes, the others wait for.
        progress: whether to show a bar over the cells, where there is one notebook at a time.

    Raises:
        ValueError: if there is no notebook, or for a parameter that none of them has.
    """
    positive("workers", workers)
    sources = all_notebooks()
    if not sources:
        raise ValueError(f"no notebooks in {paths.notebooks()}")
    known = {p.stem: parameters_of(p) for p in sources}
    names = sorted(set().union(*known.values()))
    for parameter in parameters:
        if parameter not in names:
            close = nearest(parameter, names)
            raise ValueError(f"no notebook has a parameter {parameter}{close}; there are: {', '.join(names)}")
    outcomes = {}
    with _environment({"OMP_NUM_THREADS": "1"} if workers > 1 else {}), processes(workers) as executor:
        begun = (
            executor.submit(
                run_notebook, str(p), {k: v for k, v in parameters.items() if k in known[p.stem]}, out_dir,
                progress=progress and workers == 1,
            )
            for p in sources
        )  # fmt: skip
        for future in begun if workers == 1 else as_completed(list(begun)):  # one at a time ends before the next begins
            outcome = future.result()
            outcomes[outcome.name] = outcome
            verdict = f"FAILED in {outcome.error}" if outcome.error else "done"
            minutes = f"{outcome.seconds / 60:5.1f} min"
            say(f"[{len(outcomes)}/{len(sources)}] {outcome.name:<24} {minutes}  {verdict}")
    return [outcomes[p.stem] for p in sources]


@contextmanager
def _this_interpreter() -> Iterator[None]:
    """Offer a kernel of the running interpreter under the name :data:`KERNEL` to Jupyter, for the length of the block.

    An installed kernel named "python3" may belong to another environment; none may be installed at all. Folders that
    the environment names are absolute meanwhile, as kernels start elsewhere.
    """
    before = os.environ.get("JUPYTER_PATH")
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "kernels" / KERNEL / "kernel.json"
        spec.parent.mkdir(parents=True)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
        spec.write_text(json.dumps({"argv": argv, "display_name": KERNEL, "language": "python"}), encoding="utf-8")
        jupyter = folder if not before else os.pathsep.join([folder, before])
        with _environment({"JUPYTER_PATH": jupyter, **paths.environment()}):
            yield


@contextmanager
def _environment(changed: dict[str, str]) -> Iterator[None]:
    """Environment variables for the length of the block."""
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _literal(path: Path) -> str:
    """A path for papermill, which replaces names in braces."""
    return str(path).replace("{", "{{").replace("}", "}}")
