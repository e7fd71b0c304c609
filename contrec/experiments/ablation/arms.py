"""The arms of the ablation: a full model with one thing changed, in the papers' words where they have any.

DeftRec's are in Table 5. ContRec's own ablation (Sect. 4.3.3 and Table 3) stands on a page that was not available to
us: its arms here are DeftRec's, and those that its other sections ask for. Then each defect of the released code.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pandas as pd

from contrec.checks import one_of
from contrec.embeddings.base import provider
from contrec.papers.released_code import defects, differences
from contrec.study.config import BOTH, RECIPES, Config, apply
from contrec.study.settings import TAGGED

PARTS, VECTORS, TOKENS = "parts", "base vectors", "tokens an item"
CONDITION, ESTIMATE, RELEASED = "condition", "estimate", "released code"
FEW = ("no-diffusion", "no-mask", "gold", "no-text-bonus")  # what preset tiny has time for


@dataclass(frozen=True)
class Arm:
    """A full model with one thing changed.

    Attributes:
        name: in files; what DeftRec's Table 5 prints has the names of ``data/published``.
        group: heading in tables and figures.
        label: short; the paper's where it has one.
        what: what is done.
        source: where it is asked for.
        settings: keywords of :meth:`Config.with_settings`.
        variant: beginning of the name of a variant that the full run's evaluation holds (:mod:`contrec.controls`); such
            an arm needs no training of its own.
        cost: seconds of its training, as a multiple of the full model's; a first guess, for the order.
    """

    name: str
    group: str
    label: str
    what: str
    source: str
    settings: dict = field(default_factory=dict)
    variant: str = ""
    cost: float = 1.0

    def config(self, full: Config) -> Config:
        """The arm of a full model.

        Raises:
            ValueError: if the full model cannot be changed so.
        """
        if self.name == "released":
            settings = RECIPES[full.model]["released"] | BOTH.get(("released", full.preset), {})
            return replace(full, recipe="released", recommender=apply(full.recommender, settings))
        settings, inner = dict(self.settings), full.recommender
        if "inputs" in settings:  # what the new provider does not know is left behind, the width is kept
            old, new = (inspect.signature(provider(name).fit).parameters for name in (inner.inputs, settings["inputs"]))
            other = "dim" in old and "dim" in new and old["dim"].default != new["dim"].default
            width = {"dim": old["dim"].default} if other else {}
            kept = {k: v for k, v in (width | inner.embeddings).items() if k in new}
            full = replace(full, recommender=replace(inner, embeddings=kept))
        elif self.name == "no-tags":
            if full.dataset not in TAGGED or inner.inputs != "relation":
                raise ValueError("the base vectors read no tags")
        elif "embeddings" in settings and inner.inputs == "fused":
            settings["embeddings"] = {"lightgcn": settings["embeddings"]}
        elif "embeddings" in settings and inner.inputs != "lightgcn":
            raise ValueError(f"a setting of LightGCN; the vectors are of kind {inner.inputs!r}")
        return full.with_settings(**settings)


_TABLE5 = "Sect. 3.4 and Table 5, DeftRec"
ARMS = (
    Arm("full", "full", "Full", "the recipe as it is", _TABLE5),
    Arm(
        "no-diffusion", PARTS, "w/o Diffusion", "one regression from the condition instead of denoising", _TABLE5,
        {"terminal_share": 1.0, "prediction_type": "sample", "estimate": "point"},
    ),
    Arm(
        "no-encoder", PARTS, "w/o Encoder", "K linear maps, trained jointly, instead of the tokenizer", _TABLE5,
        {"tokenizer__kind": "projection", "tokenizer__train": "joint"},
    ),
    Arm("no-mask", PARTS, "w/o Mask", "nothing is masked in the tokenizer", _TABLE5, {"mask_ratio": 0.0}),
    Arm("no-bpr", PARTS, "w/o BPR", "no contrastive term", _TABLE5, {"negative_weight": 0.0}),
    Arm(
        "no-dispersion", PARTS, "w/o Dispersion", "no dispersive term", "Eq. (19), ContRec",
        {"dispersion_weight": 0.0},
    ),
    Arm(
        "no-user-tokens", PARTS, "w/o User tokens", "the prompt shows items only, as in both released codes",
        "Appendix B.1, ContRec", {"user_tokens": False},
    ),
    Arm(
        "frozen-backbone", PARTS, "Frozen backbone", "the language model is not trained: a tiny one stays random",
        "our question", {"language__train": "none"}, cost=0.8,
    ),
    Arm(
        "no-text-bonus", PARTS, "w/o Text bonus", "pi = 0: the text does not change the ranking", "Eq. (22), ContRec",
        {"text_bonus": 0.0}, variant="no-text-bonus",
    ),
    Arm("no-cf", VECTORS, "w/o CF", "random vectors instead of learned ones", _TABLE5, {"inputs": "random"}),
    Arm("cf-only", VECTORS, "LightGCN alone", "no text in the vectors", "Sect. 4.1.4, ContRec", {"inputs": "lightgcn"}),
    Arm(
        "no-tags", VECTORS, "w/o Tags", "base vectors from who took what alone, as most baselines read it",
        "our question", {"embeddings": {"relation": "ease", "tag_weight": 0.0}},
    ),
    Arm(
        "text-only", VECTORS, "Text alone", "nothing collaborative in the vectors; their width is the encoder's",
        _TABLE5, {"inputs": "text"},
    ),
    *(
        Arm(f"k{k}", TOKENS, f"K={k}", f"{k} sub-encoders", _TABLE5 if k < 4 else "Sect. 4.1.4, ContRec",
            {"n_tokens": k}, cost=0.7 + 0.15 * k)
        for k in range(1, 6)
    ),
    Arm(
        "generated", CONDITION, "From generated text", "in training as at test", "Sect. 3.4, ContRec",
        {"condition_from": "generated"},
    ),
    Arm(
        "gold", CONDITION, "From gold text", "in training, where at test the text is generated", "both released codes",
        {"condition_from": "gold"}, cost=0.7,
    ),
    Arm(
        "prompt", CONDITION, "From the prompt", "no text: the state at the prompt's end", "our question",
        {"condition_from": "prompt"}, cost=0.6,
    ),
    Arm("point", ESTIMATE, "Point", "x0 predicted at t = T", "our question", {"estimate": "point"}, variant="point"),
    Arm(
        "one-sample", ESTIMATE, "One sample", "one vector is drawn", "Sect. 3.4, ContRec", {"estimate": "sample"},
        variant="one-sample",
    ),
    Arm(
        "mean-of-samples", ESTIMATE, "Mean of samples", "of 32 vectors, 8 on preset tiny", "our question",
        {"estimate": "mean"}, variant="mean-of",
    ),
)  # fmt: skip


def everything(full: Config) -> list[Arm]:
    """The table above, the released code's defects one by one, and its whole recipe."""
    found = []
    for what, settings in defects(full.model).items():
        ((name, value),) = settings.items()
        name, value = next(iter(value.items())) if name == "embeddings" else (name.rpartition("__")[2], value)
        found.append(Arm(f"released-{name}", RELEASED, f"{name} {value}", what, "released code", settings))
    whole = Arm("released", RELEASED, "All of it", "the whole recipe released", "released code")
    return [*ARMS, *found, whole]


def why_left_out(full: Config, arm: Arm) -> str:
    """Why an arm is left out for a full model; "" where it is not."""
    if arm.name == "released" and full.recipe == "tuned":
        return "no step from recipe tuned; see recipe paper"
    if "mask_ratio" in arm.settings and not full.recommender.tokenizer.masks:
        return "this tokenizer is never masked"
    if "diffusion__sampler_start" in arm.settings and full.recommender.estimate == "point":
        return "the point estimate walks no steps"
    try:
        changed = arm.config(full)
    except ValueError as error:
        return str(error)
    return "the full model is so" if changed.recommender == full.recommender and arm.name != "full" else ""


def arms(full: Config, names: Iterable[str] | None = None) -> list[Arm]:
    """The arms that change a full model, itself first; of those the named ones, and the full model anyway.

    Raises:
        ValueError: for an unknown name.
    """
    found = everything(full)
    for name in names or ():
        one_of("arm", name, [arm.name for arm in found])
    wanted = {"full", *names} if names else {arm.name for arm in found}
    return [arm for arm in found if arm.name in wanted and not why_left_out(full, arm)]


def arm_table(full: Config, names: Iterable[str] | None = None) -> pd.DataFrame:
    """What each arm changes: group, arm, what, settings, source."""
    rows = [
        (a.group, a.label, a.what, ", ".join(f"{k}={v}" for k, v in a.settings.items()), a.source)
        for a in arms(full, names)
    ]
    return pd.DataFrame(rows, columns=["group", "arm", "what", "settings", "source"])


def left_out(full: Config) -> pd.DataFrame:
    """Arms that the full model has no use for, and defects that are not rebuilt: arm, what, why (str)."""
    rows = [(arm.label, arm.what, why) for arm in everything(full) if (why := why_left_out(full, arm))]
    other = differences().query("kind == 'D' and setting == ''")
    rows += [("-", row.what, row.reason) for row in other.itertuples()]
    return pd.DataFrame(rows, columns=["arm", "what", "why"])
