"""How much the settings matter: one parameter at a time, chosen on validation users, reported on test users.

Figs. 3 and 4 of DeftRec (mask ratio, loss weights) and Sect. 4.3.1 of ContRec, whose Fig. 3 is not available to us. A
point is one value of one parameter with one seed. What differs between its checkpoint and the plain one is its kind:
"all" is trained from the start, "head only" trains a diffusion head on the kept conditions of another run, "one
checkpoint" trains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from contrec.artifacts.fingerprint import fingerprint
from contrec.artifacts.stages import stage_version
from contrec.artifacts.store import CHECKPOINTS
from contrec.checks import one_of
from contrec.evaluation import evaluate
from contrec.experiments.sweep import head_only
from contrec.study import evaluating, jobs
from contrec.study.config import MODELS, Config
from contrec.study.fitting import fitted, load_split, run_name, store

METRIC = "HR@10"  # by which validation users choose, as in Figs. 3 and 4 of DeftRec
ALL, HEAD, ONE = KINDS = ("all", "head only", "one checkpoint")
PARTS = ("validation", "test")
MEAN_OF = 8  # samples behind a mean whose guidance or steps are swept, where the recipe ranks a point estimate


@dataclass(frozen=True)
class Parameter:
    """One parameter: how it is called in a figure, its kind, the setting of each model (in their order), its values."""

    title: str
    kind: str
    settings: tuple[str, str]
    values: tuple
    source: str


_WEIGHTS = (0.0, 0.5, 1.0, 1.5, 2.0)
_SEARCHED = "Sect. 4.3.1, ContRec; Sect. 3.5.2, DeftRec (its Sect. 3.1.4 has 0.1 for 1.5)"
# In the order in which points are taken: trainings first, so that several workers never wait for the same one
PARAMETERS: dict[str, Parameter] = {
    "gamma_1": Parameter("γ₁", ALL, ("diffusion_weight", "llm_weight"), _WEIGHTS, _SEARCHED),
    "rho": Parameter("ρ", ALL, ("mask_ratio",) * 2, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), "both papers"),
    "K": Parameter("K", ALL, ("n_tokens",) * 2, (1, 2, 3, 4, 5), "ContRec; DeftRec: 1 to 3"),
    "gamma_2": Parameter("γ₂", HEAD, ("dispersion_weight", "negative_weight"), _WEIGHTS, _SEARCHED),
    "tau": Parameter("τ", HEAD, ("temperature",) * 2, (0.1, 0.25, 0.5, 1.0, 2.0), "our choice; ContRec fixes 0.5"),
    "prediction": Parameter("prediction", HEAD, ("prediction_type",) * 2, ("epsilon", "sample"), "text and code"),
    "omega": Parameter("ω", ONE, ("guidance_strength",) * 2, (0, 2, 4, 6, 8, 10), "Sect. 4.1.4, ContRec"),
    "pi": Parameter("π", ONE, ("text_bonus",) * 2, (0.0, 0.05, 0.1, 0.2, 0.5), "our choice; 0.05 and 0.1 are printed"),
    "steps": Parameter("steps", ONE, ("sampler_steps",) * 2, (1, 2, 5, 10, 20, 50, 100), "our choice; 100 is printed"),
    "samples": Parameter("samples", ONE, ("n_samples",) * 2, (1, 2, 4, 8, 16, 32), "our choice; the papers draw one"),
}  # fmt: skip
CUT = {"gamma_1": (0.5, 1.0), "rho": (0.2, 0.8), "K": (1, 2), "tau": (0.1, 0.5)}  # on preset "tiny"
SHORT = ("rho", "tau", "omega", "pi", "steps", "samples")  # what a notebook makes by itself on preset "tiny"


def why_fixed(config: Config, parameter: str) -> str:
    """Why a parameter cannot be swept under a config, in a few words; "" where it can."""
    inner = config.recommender
    if parameter == "rho" and not inner.tokenizer.masks:
        return "this tokenizer is never masked"
    if PARAMETERS[parameter].kind == HEAD and inner.condition_from == "gold":
        return "a head alone is trained on generated conditions, this recipe on gold ones"
    if parameter == "omega" and inner.diffusion.p_uncond == 0:
        return "trained without dropped conditions"
    if parameter == "pi" and inner.score != "cosine":
        return f"score {inner.score!r} has no bonus"
    if parameter == "tau" and inner.training.dispersion_weight == 0:
        return "no dispersive loss"
    if parameter == "prediction" and (inner.diffusion.head == "direct" or inner.diffusion.terminal_share == 1):
        return "the direct head predicts the sample"
    return ""


def possible(config: Config) -> list[str]:
    """Names of the parameters that can be swept under a config."""
    return [name for name in PARAMETERS if not why_fixed(config, name)]


def within_reach(config: Config) -> list[str]:
    """What a notebook makes by itself: on preset "tiny" some of each kind, else what needs no training."""
    wanted = SHORT if config.preset == "tiny" else [n for n, p in PARAMETERS.items() if p.kind == ONE]
    return [name for name in possible(config) if name in wanted]


def checked(config: Config, parameters: Sequence[str] | None) -> list[str]:
    """The asked parameters in the order of the sweep; None: all that are possible.

    Raises:
        ValueError: for an unknown one, one that cannot be swept, or gamma_2 without gamma_1.
    """
    names = possible(config) if parameters is None else parameters
    for name in names:
        one_of("parameter", name, tuple(PARAMETERS))
        if reason := why_fixed(config, name):
            raise ValueError(f"parameter {name!r} cannot be swept with {config.model} {config.recipe}: {reason}")
    if "gamma_2" in names and "gamma_1" not in names:
        raise ValueError("gamma_2 is searched at the best gamma_1 (sequential grid search): ask for both")
    return [name for name in PARAMETERS if name in names]


@dataclass(frozen=True)
class Point(jobs.InStore):
    """One value of one parameter with one seed."""

    parameter: str
    x: float | str
    seed: int
    config: Config  # all settings at this point
    base: Config  # whose fitted recommender is asked; equals ``config`` where all is trained

    @property
    def kind(self) -> str:
        return PARAMETERS[self.parameter].kind

    @property
    def key(self) -> dict:
        """What the result is made from."""
        made = {"recommender": _run_name(self.base, self.seed), "kind": self.kind, "seed": self.seed}
        versions = {stage: stage_version(stage) for stage in ("evaluation", "diffusion")}
        return {**made, "settings": asdict(self.config.recommender), "versions": versions}

    @cached_property
    def folder(self) -> Path:
        return store().path("sweep", self.key)

    @property
    def place(self) -> tuple[str, str]:
        return self.parameter, f"{self.config.dataset} {self.config.model} {self.config.recipe}"

    def make(self) -> None:
        make(self)

    def told(self) -> str:
        found = ", ".join(f"{part} {self.metric(part):.4f}" for part in PARTS)
        return f"{self.config.dataset} {self.parameter} {self.x} seed {self.seed} ({self.kind}): {METRIC} {found}"

    def metric(self, part: str) -> float:
        """The finished point's METRIC on "validation" or "test" users."""
        return evaluating.kept_evaluations(self.folder)[part].metrics()[METRIC]


_names: dict[str, str] = {}


def _run_name(config: Config, seed: int) -> str:
    """The run's name, which takes the hash of all data files: once for all points that share it."""
    key = fingerprint({"config": config, "seed": seed})
    return _names.get(key) or _names.setdefault(key, run_name(config, seed))


def value_of(config: Config, parameter: str) -> float | str:
    """The config's own value of a parameter."""
    name, inner = setting_of(config, parameter), config.recommender
    for part in (inner, inner.tokenizer, inner.diffusion, inner.training):
        if hasattr(part, name):
            return getattr(part, name)
    raise AttributeError(name)


def values_of(config: Config, parameter: str) -> list:
    """The values to try, the config's own among them, ascending; on preset "tiny" few where there is training."""
    values = PARAMETERS[parameter].values
    if config.preset == "tiny":
        values = CUT.get(parameter, values)
    if parameter == "steps":
        start = config.recommender.diffusion.sampler_start or config.recommender.diffusion.timesteps
        values = [x for x in values if x <= start]
    return sorted({*values, value_of(config, parameter)})


def point(config: Config, parameter: str, x, seed: int, gamma_1=None) -> Point:
    """The point of a value.

    Args:
        gamma_1: for gamma_2, the value at which it is searched.
    """
    kind, setting = PARAMETERS[parameter].kind, setting_of(config, parameter)
    if parameter == "gamma_1":  # "gamma_2 is set to 0" (Sect. 3.5.2, DeftRec)
        config = config.with_settings(**{setting_of(config, "gamma_2"): 0.0})
    if parameter == "gamma_2":
        config = point(config, "gamma_1", gamma_1, seed).config
    base, settings = config, {setting: x}
    if parameter in ("omega", "steps", "samples") and config.recommender.estimate == "point":
        # guidance and sampling say nothing about the point estimate
        settings = {"estimate": "mean", "n_samples": MEAN_OF, **settings}
    if parameter == "samples":
        settings["estimate"] = "mean"
    config = config.with_settings(**settings)
    return Point(parameter, x, seed, config, config if kind == ALL else base)


def setting_of(config: Config, parameter: str) -> str:
    """Name of the setting that a parameter is, in the config's model."""
    return PARAMETERS[parameter].settings[MODELS.index(config.model)]


def plan(config: Config, parameters: Sequence[str]) -> list[Point]:
    """The points that are known to be wanted now; it grows as results come in.

    With the config's first seed every value is tried, gamma_2 once the best gamma_1 is known. Where a curve is whole,
    its best and its default value are made with the other seeds too.
    """
    first, *others = config.seeds
    curves = {name: curve(config, name, first) for name in parameters if name != "gamma_2"}
    best_gamma_1 = best(curves["gamma_1"]) if "gamma_1" in curves else None
    if "gamma_2" in parameters and best_gamma_1:
        curves["gamma_2"] = curve(config, "gamma_2", first, best_gamma_1.x)
    points = [p for name in parameters if name in curves for p in curves[name]]
    for own in curves.values():
        if others and (top := best(own)):
            default = next(p for p in own if p.x == value_of(config, p.parameter))
            again = [top] if top.x == default.x else [top, default]
            points += [replace(p, seed=seed) for seed in others for p in again]
    return points


def curve(config: Config, parameter: str, seed: int, gamma_1=None) -> list[Point]:
    """All points of a parameter with one seed."""
    return [point(config, parameter, x, seed, gamma_1) for x in values_of(config, parameter)]


def best(points: Sequence[Point]) -> Point | None:
    """The best point by METRIC on validation users, of equal ones the first; None unless all are finished."""
    return max(points, key=lambda p: p.metric("validation")) if all(p.done for p in points) else None


def make(one: Point) -> Path:
    """Make a point, or find it in the store: its evaluations on validation and on test users."""

    def write(folder: Path) -> None:
        recommender, known = _once(_understood, one.base, one.seed)
        split = load_split(one.base)
        if one.kind == HEAD:
            kept = _once(_conditions, one.base, one.seed)
            place = folder / CHECKPOINTS
            asked = head_only.retrained(recommender, kept, one.config.recommender, seed=one.seed, folder=place)
        else:
            asked = head_only.changed(recommender, one.config.recommender)
        cases = {"validation": split.validation, "test": split.test}
        made = {part: head_only.variant(asked, cases[part], known[part]) for part in PARTS}
        evaluating.keep(folder, {part: evaluate(made[part], cases[part], train=split.train) for part in PARTS})

    fitted(one.base, one.seed)  # before the point is locked: others may want the same run
    return store().get_or_make("sweep", one.key, write, resume=True)


_last: dict[Callable, tuple[str, object]] = {}


def _once(compute: Callable, config: Config, seed: int):
    """What ``compute`` gives for a run, kept until another run is asked about: points of one checkpoint share it."""
    name = _run_name(config, seed)
    if _last.get(compute, ("", None))[0] != name:
        _last[compute] = name, compute(config, seed)
    return _last[compute][1]


def _understood(config: Config, seed: int):
    """A fitted recommender and what it understands of validation and test cases."""
    recommender, split = fitted(config, seed), load_split(config)
    return recommender, {part: recommender.understand(getattr(split, part)) for part in PARTS}


def _conditions(config: Config, seed: int) -> head_only.Conditions:
    return head_only.Conditions.of(_once(_understood, config, seed)[0], load_split(config), seed)


def plan_of(config: Config, parameters: Sequence[str] | None) -> jobs.Plan:
    """The plan of a sweep for :mod:`contrec.study.jobs`, once its data are there.

    Args:
        parameters: None: all that are possible.
    """
    load_split(config)  # fetched and checked by one process
    return partial(plan, config, checked(config, parameters))


def fill(
    config: Config, parameters: Sequence[str] | None = None, *, workers: int = 1, progress: bool = False, say=None
) -> None:
    """Make the points that are not in the store; as :func:`contrec.study.jobs.fill`."""
    jobs.fill(plan_of(config, parameters), workers=workers, progress=progress, title="sweep", say=say)
