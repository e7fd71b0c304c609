"""Dependencies are declared once; pins, conda environment, Makefile and imports agree with them."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from contrec import paths

ROOT = paths.root()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
OURS = [r for name in ("notebooks", "search", "tests") for r in EXTRAS[name]]
REQUIREMENTS = [Requirement(r) for r in [*PROJECT["dependencies"], *OURS]]
PIN_LINES = [s for s in (ROOT / "constraints.txt").read_text().splitlines() if s and not s.startswith("#")]
PINS = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in PIN_LINES if "==" in line}


def test_pins_are_exact_and_hold_on_any_machine():
    wrong = [s for s in PIN_LINES if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", s)]
    assert not wrong and len(PINS) == len(PIN_LINES)
    assert not [name for name in PINS if name.startswith(("nvidia", "cuda", "triton"))]  # only some machines have them


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: r.name)
def test_each_requirement_is_bounded_and_pinned_within(requirement):
    operators = {s.operator for s in requirement.specifier}
    assert operators == {">=", "<"}, f"{requirement} needs a lower and an upper bound"
    assert PINS[canonicalize_name(requirement.name)] in requirement.specifier


def test_pins_cover_what_the_requirements_bring_in():
    todo, seen = list(REQUIREMENTS), set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in seen or name.startswith(("nvidia", "cuda", "triton")) or name == "setuptools":
            continue
        seen.add(name)
        extras = requirement.extras or {""}
        for line in metadata.requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
                todo.append(needed)
    assert seen <= set(PINS), f"without a pin: {sorted(seen - set(PINS))}"


def test_all_is_every_extra_but_the_clusters():
    names = Requirement(EXTRAS["all"][0]).extras
    assert EXTRAS["all"] == ["contrec[notebooks,search,tests]"] and names == set(EXTRAS) - {"all", "slurm"}


def test_conda_and_make_install_the_same():
    conda = [line.strip().removeprefix("- ") for line in (ROOT / "environment.yml").read_text().splitlines()]
    assert f"python{PROJECT['requires-python']}" in conda and "pip" in conda
    assert conda[conda.index("pip:") + 1 :] == ["-c constraints.txt", "-e .[all]"]
    make = (ROOT / "Makefile").read_text()
    assert "-c constraints.txt -e '.[all]'" in make and "pyproject.toml constraints.txt" in make
    for target in ("test", "study"):
        plan = subprocess.run(["make", "-n", "-B", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert plan.index("pip install") < plan.index("pytest tests notebooks" if target == "test" else "contrec study")


def test_study_takes_its_arguments_from_make():
    command = ["make", "-n", "study", "DATASET=lastfm", "PRESET=laptop", "RECIPE=paper", "SEEDS=0,1"]
    plan = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert '--datasets "lastfm" --preset "laptop" --recipes "paper" --seeds "0,1"' in plan


def test_every_import_is_declared():
    providers = metadata.packages_distributions()
    core = {canonicalize_name(Requirement(r).name) for r in PROJECT["dependencies"]}
    notebooks = {canonicalize_name(Requirement(r).name) for r in EXTRAS["notebooks"]}
    missing = set()
    for file in sorted((ROOT / "contrec").rglob("*.py")):
        name = file.relative_to(ROOT / "contrec").as_posix()
        shows = ("experiments/cases/widgets.py", "report/notebooks.py", "report/offline.py")
        allowed = core | notebooks if name in shows or name.startswith("plots/") else core
        allowed = allowed | {"optuna"} if name == "experiments/baselines/search.py" else allowed
        allowed = allowed | {"submitit"} if name == "study/jobs.py" else allowed
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module]
            for module in {m.split(".")[0] for m in modules} - sys.stdlib_module_names - {"contrec"}:
                if not {canonicalize_name(d) for d in providers.get(module, [module])} & allowed:
                    missing.add(f"{name}: {module}")
    assert not missing, f"imported but not among the dependencies in pyproject.toml: {sorted(missing)}"


def test_ci_calls_make_test():
    ci = ROOT / ".ci" / "run"
    assert ci.stat().st_mode & 0o100 and ci.read_text().rstrip().endswith("make test")
