"""Nothing in the package writes or loads pickles: a file of weights must not be able to run code."""

import ast

import pytest

from contrec import paths

MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CALLS = {"torch.load", "torch.save"}
METHODS = {"save_state", "load_state", "read_pickle", "to_pickle"}


def unsafe(source: str) -> list[str]:
    """Uses of pickle in a Python source, as "line: what"."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            names = {a.name for a in node.names} if module == ["torch"] else set()
            found += [f"{node.lineno}: import {m}" for m in module if m.split(".")[0] in MODULES]
            found += [f"{node.lineno}: torch.{n}" for n in names & {"load", "save"}]
        elif isinstance(node, ast.Attribute):
            if ast.unparse(node) in CALLS or node.attr in METHODS:
                found.append(f"{node.lineno}: {ast.unparse(node)}")
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                found.append(f"{node.value.lineno}: allow_pickle")
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "torch.load(p)",
        "torch.save(x, p)",
        "from torch import load",
        "accelerator.save_state(p)",
        "self.accelerator.load_state(p)",
        "np.load(p, allow_pickle=True)",
        "np.load(p, allow_pickle=flag)",
        "pd.read_pickle(p)",
    ],
)
def test_each_kind_is_found(source):
    assert len(unsafe(source)) == 1


def test_harmless_code_passes():
    assert unsafe("'no pickle'\nmodel.load_state_dict(safetensors.torch.load_file(p))\nnp.load(p)") == []


def test_the_package_holds_no_pickle():
    files = sorted((paths.root() / "contrec").rglob("*.py"))
    found = [f"{f.relative_to(paths.root())}:{u}" for f in files for u in unsafe(f.read_text(encoding="utf-8"))]
    assert files and not found, "\n".join(found)
