"""Where the authors' public code differs from their texts, and which setting of ours says the same."""

from __future__ import annotations

import ast

import pandas as pd

from contrec import paths
from contrec.checks import one_of


def differences() -> pd.DataFrame:
    """Every difference found: row, kind, what, setting, contrec, deftrec, reason (all str).

    ``kind`` is "S" (a setting), "D" (a defect) or "0" (without effect). ``setting`` is the dotted name of the keyword
    with the values of either released code, "" where it plays no part; ``reason`` says why one is not rebuilt.
    """
    return pd.read_csv(paths.published() / "released.csv", dtype=str, keep_default_na=False)


def defects(model: str) -> dict[str, dict]:
    """The defects of a model's released code, each as the settings that bring it about: what it is -> settings.

    The names can be given to :meth:`contrec.study.config.Config.with_settings`.
    """
    one_of("model", model, ("contrec", "deftrec"))
    found = differences()
    found = found[(found.kind == "D") & (found.setting != "") & (found[model] != "")]
    return {what: as_settings(*named) for what, *named in zip(found.what, found.setting, found[model], strict=True)}


def as_settings(setting: str, text: str) -> dict:
    """A setting by its dotted name, its value given as text, as keywords of a config."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    stage, _, name = setting.rpartition(".")
    if stage == "embeddings":
        return {"embeddings": {name: value}}
    return {f"{stage}__{name}" if stage else name: value}
