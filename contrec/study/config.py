"""Models, recipes and presets: what the method is, and how much of it is run, as one checked config."""

from __future__ import annotations

import dataclasses
import inspect
import json
from dataclasses import dataclass, replace

from contrec import paths
from contrec.checks import nearest, one_of, seed_number
from contrec.data import SOURCES_OF, DataError, inputs
from contrec.data.planted import WORLDS
from contrec.data.splits import PROTOCOLS
from contrec.data.table import BESIDE, ROLES, check_file
from contrec.diffusion import DiffusionConfig
from contrec.language import LanguageConfig
from contrec.network import RecommenderConfig, config_from_dict
from contrec.study.settings import best_trial, recipe_settings, searched_on
from contrec.tokenizers import TokenizerConfig
from contrec.training import TrainingConfig

MODELS = ("contrec", "deftrec")
REFIT = "_refit"  # how the protocol of a refit ends
TITLES = {"contrec": "ContRec", "deftrec": "DeftRec"}
NAMES = {
    "planted": "Planted", "planted_shuffled": "Planted",
    "lastfm": "LastFM", "ml1m": "MovieLens", "ml1m_all": "MovieLens", "beauty": "Beauty",
    "beauty_positive": "Beauty",
    "games": "Video Games", "software": "Software", "table": "our",
}  # fmt: skip

# What the method is: model -> recipe -> settings over the defaults of the stage configs. ContRec's `paper` is these
# defaults, each with its source beside it.
_TUNED = {
    "inputs": "relation",
    "residual": True,
    "estimate": "point",
    "text_bonus": 0.0,
    "tokenizer.n_tokens": 2,
    "language.project_tokens": True,
    "diffusion.prediction_type": "sample",
    "diffusion.head": "direct",
    "diffusion.objective": "cross_entropy",
    "diffusion.sampler": "ddim",
    "diffusion.sampler_steps": 20,
    "diffusion.n_samples": 32,
    "diffusion.null_condition": "learned",
    "diffusion.guidance_strength": 0.0,
    "diffusion.dropout": 0.3,
    "training.llm_weight": 0.1,
    "training.dispersion_weight": 0.1,
}
_DEFTREC = {
    "inputs": "lightgcn",  # Sect. 3.1.4
    "text_bonus": 0.1,  # Sect. 2.5
    "n_condition": 1,  # Sect. 2.4.2, as the next
    "condition_net": "mean",
    "tokenizer.kind": "masked_encoder",  # Sect. 2.3
    "tokenizer.train": "joint",  # Sect. 2.6
    "tokenizer.n_tokens": 2,  # Sect. 3.1.4 and Table 5
    "tokenizer.mask_ratio": 0.2,  # Sect. 3.5.1
    "language.shuffle_history": True,  # Sect. 3.1.1
    "diffusion.denoiser": "mlp",  # Sect. 2.4.2
    "diffusion.dropout": 0.2,  # released code: the paper prints none
    "diffusion.p_uncond": 0.0,  # no guidance is named
    "diffusion.guidance_strength": 0.0,
    "training.llm_weight": 0.5,  # gamma_1 of Eq. (15): best between 0.5 and 1 (Sect. 3.5.2)
    "training.negative_weight": 0.5,  # gamma_2: best between 0 and 0.5; the released code's value
    "training.dispersion_weight": 0.0,
    "training.weight_decay": 1e-5,  # Appendix C
}
# What both released codes do; contrec.papers.released_code lists every difference, with those that are not rebuilt
_RELEASED = {
    "inputs": "lightgcn",
    "embeddings": {"propagate": False, "standardise": False},
    "score": "euclidean",
    "text_bonus": 0.0,
    "condition_from": "gold",
    "condition_states": "input",
    "tokenizer.train": "joint",
    "tokenizer.n_tokens": 2,
    "tokenizer.mask_ratio": 0.1,
    "tokenizer.mask_shared": True,
    "tokenizer.shift": True,
    "language.user_tokens": False,
    "language.answer_has_title": True,
    "training.llm_weight": 0.1,
    "training.lr_schedule": "alternate",
    "training.test_on": "last",
    "training.cases": "windows",
}
RECIPES: dict[str, dict[str, dict]] = {
    "contrec": {
        "paper": {},
        "released": {
            **_RELEASED,
            "condition_net": "length_mlp",
            "tokenizer.sigma_mode": "fixed",
            "tokenizer.pool": "mean",
            "tokenizer.kl_weight": 0.0,
            "diffusion.timesteps": 200,
            "diffusion.schedule": "exp",
            "diffusion.sampler_steps": 200,
            "diffusion.prediction_type": "sample",
            "diffusion.null_condition": "learned",
            "diffusion.dispersion_on": "prediction",
            "diffusion.dispersion_sign": -1,
            "diffusion.temperature": 1.0,  # the squared distance is divided by d, as ours always is
            "training.dispersion_weight": 0.5,
            "training.weight_decay": 1e-3,
        },
        "tuned": _TUNED,
    },
    "deftrec": {
        "paper": _DEFTREC,
        "released": {
            **_DEFTREC,
            **_RELEASED,
            "condition_net": "length_mlp_wide",
            "condition_length": 32,
            "training.cases": "windows20",
            "tokenizer.mask_at_test": True,
            "language.shuffle_history": False,
            "language.loss_on": "all",
            "language.title_chars": 20,
            "diffusion.pairing": "all",
            "diffusion.negatives": "per_batch",
            "diffusion.sampler_start": 100,
            "training.optimizer": "adam",
        },
        "tuned": {
            **_DEFTREC,
            **_TUNED,
            "diffusion.dropout": 0.3,
            "training.llm_weight": 0.1,
            "training.negative_weight": 0.1,
            "training.dispersion_weight": 0.0,
        },
    },
}

# How much of it is run: widths, learning rates, epochs, batches. Never what the method is.
PRESETS: dict[str, dict] = {
    "tiny": {
        "language.hidden": 64, "language.layers": 2, "language.vocabulary": 1024, "language.max_input": 512,
        "language.history_cap": 10, "tokenizer.width": 64, "tokenizer.epochs": 40, "tokenizer.batch_size": 64,
        "tokenizer.lr": 3e-3,
        "diffusion.width": 64, "diffusion.noise_draws": 4, "training.epochs": 5, "training.cases_per_user": 2,
        "training.batch_size": 16, "training.lr": 2e-3,
    },
    "laptop": {
        "language.hidden": 128, "language.layers": 2, "training.epochs": 8, "training.cases_per_user": 2,
        "training.batch_size": 32, "training.lr": 1e-3, "diffusion.noise_draws": 4,
    },
    "gpu": {
        "language.backbone": "meta-llama/Llama-3.2-1B-Instruct", "language.train": "lora",
        "training.epochs": 20, "training.cases_per_user": 10, "training.lr": 1e-4,
    },
}  # fmt: skip
# Settings that hold for one recipe on one preset
BOTH: dict[tuple[str, str], dict] = {
    ("paper", "gpu"): {"language.quantize": True},
    # every condition meets every target already, so that more noises of each would be squared
    **{("released", preset): {"diffusion.noise_draws": 1} for preset in ("tiny", "laptop")},
    ("released", "gpu"): {"language.quantize": True},
}
# What `tuned` chose per dataset, on validation users
TUNED: dict[str, dict] = {
    # a backbone from random weights learns to write when the ranking is best already; pi is DeftRec's
    **dict.fromkeys(
        WORLDS,
        {
            "embeddings": {"dim": 32, "following": 0.5, "decay": 0.8},
            "text_bonus": 0.1,
            "training.llm_weight": 1.0,
            "training.patience": 5,
            "training.test_on": "last",
        },
    ),
    # width by NDCG@10 on up to 10 hidden train items a user (5,431): .0963, .0961, .0970, .0934 at 64, 128, 256, 512
    "lastfm": {"training.cases": "set", "embeddings": {"dim": 256, "popularity": 0.3}},
}


@dataclass(frozen=True)
class Config:
    """One study: which data, which model, which recipe, how much of it, which seeds."""

    model: str
    recipe: str
    preset: str
    dataset: str
    source: str
    split: str
    seeds: tuple[int, ...]
    recommender: RecommenderConfig
    path: str | None = None  # of dataset "table", absolute
    columns: dict[str, str] = dataclasses.field(default_factory=dict)  # of that file, as far as they were named
    refit: bool = False  # trained again on train and validation rows, for the epochs that validation chose without

    @classmethod
    def from_dict(cls, kept: dict) -> Config:
        """The config that ``dataclasses.asdict`` made a dict of, as run.json keeps it."""
        return cls(**kept | {"recommender": config_from_dict(kept["recommender"]), "seeds": tuple(kept["seeds"])})

    @classmethod
    def from_parameters(
        cls, model: str = "contrec", recipe: str = "tuned", preset: str = "tiny", *, dataset: str = "planted",
        source: str | None = None, split: str = "leave_one_out", refit: bool = False, seeds=(0,),
        path: str | None = None, columns: dict[str, str | None] | None = None, **settings,
    ) -> Config:  # fmt: skip
        """The checked config of a notebook's parameters.

        Args:
            model, recipe, preset: see the tables of this module.
            dataset, source, split: see :func:`contrec.data.load` and :func:`contrec.data.split`.
            refit: everything is chosen without, then trained again on train and validation rows.
            seeds: one training run each.
            path: file of dataset "table"; a relative one starts in the folder that is worked in.
            columns: how its columns are called, by ``ROLES`` and ``BESIDE`` of :mod:`contrec.data.table`; None: found
                by usual names.
            **settings: single settings, by their own name where it is unique ("n_tokens") or with their stage and a
                double underscore ("training__lr"); None keeps the recipe's value.

        Raises:
            ValueError: for an unknown name or a value out of range.
        """
        one_of("model", model, MODELS)
        one_of("recipe", recipe, tuple(RECIPES[model]))
        one_of("preset", preset, tuple(PRESETS))
        one_of("dataset", dataset, tuple(SOURCES_OF))
        one_of("split", split, PROTOCOLS)
        source = SOURCES_OF[dataset][0] if source is None else source
        one_of(f"source of {dataset}", source, SOURCES_OF[dataset])
        path, columns = _own_file(dataset, path, columns or {})
        try:
            numbers = tuple(seed_number(seed) for seed in seeds)
        except (TypeError, ValueError):
            numbers = ()
        if not numbers or len(set(numbers)) < len(numbers):
            raise ValueError(f"seeds must be a list of whole numbers from 0 to 2**63 - 1, each once, got {seeds!r}")
        chosen = {"dataset": NAMES.get(dataset, dataset), **RECIPES[model][recipe], **PRESETS[preset]}
        chosen |= BOTH.get((recipe, preset), {})
        if recipe == "tuned":
            chosen |= TUNED.get(dataset, {})
            if preset != "tiny":
                chosen |= _searched(f"{model}/{recipe}", searched_on(dataset, source, split))
        chosen |= {_place(name): value for name, value in settings.items() if value is not None}
        return cls(
            model, recipe, preset, dataset, source, split, numbers, apply(RecommenderConfig(), chosen), path, columns,
            bool(refit),
        )  # fmt: skip

    @property
    def name(self) -> str:
        """Recipe, with the model before it where that is not ContRec: how files of results are called."""
        return self.recipe if self.model == "contrec" else f"{self.model}_{self.recipe}"

    @property
    def protocol(self) -> str:
        """The split as rows of results name it: a refit has rows of its own, "leave_one_out_refit"."""
        return self.split + REFIT * self.refit

    @property
    def label(self) -> str:
        """Model name for tables; a backbone other than the paper's is named."""
        backbone = self.recommender.language.backbone
        return f"{TITLES[self.model]} {self.recipe}" + (
            f" ({backbone} backbone)" if "Llama-3.2-1B" not in backbone else ""
        )

    @property
    def own_file(self) -> dict[str, str]:
        """What :func:`contrec.data.load` needs to know of a file of one's own: its path and its columns."""
        return {} if self.path is None else {"path": self.path, **self.columns}

    @property
    def own_files(self) -> dict[str, str]:
        """Of :attr:`own_file` what names files: "path" and "items"."""
        return {name: file for name, file in self.own_file.items() if name in ("path", "items")}

    def inputs(self) -> dict[str, str]:
        """SHA-256 of every file that the data are read from, as :func:`contrec.data.inputs`."""
        return inputs(self.dataset, self.source, **self.own_files)

    def with_settings(self, **settings) -> Config:
        """The same study with single settings changed (as in :meth:`from_parameters`)."""
        chosen = {_place(name): value for name, value in settings.items() if value is not None}
        return replace(self, recommender=apply(self.recommender, chosen))


STAGES = {
    "tokenizer": TokenizerConfig,
    "language": LanguageConfig,
    "diffusion": DiffusionConfig,
    "training": TrainingConfig,
}


def _searched(name: str, place: tuple[str, str, str]) -> dict:
    """What the recorded search of a recipe has chosen on a data set; nothing where it was not searched."""
    best = best_trial(name, place)
    return {} if best is None else {_place(k): v for k, v in recipe_settings(json.loads(best.settings)).items()}


def _own_file(dataset: str, path, columns: dict) -> tuple[str | None, dict[str, str]]:
    """Path and columns of dataset "table", checked, files absolute; nothing of the kind for any other dataset."""
    columns = {role: str(name) for role, name in columns.items() if name is not None}
    if dataset != "table":
        for what, given in (("path", path), ("columns", columns)):
            if given:
                raise DataError(f"dataset {dataset!r} has no {what}; a file of your own is dataset 'table'")
        return None, {}
    for role in columns:
        one_of("column", role, (*ROLES, *BESIDE))
    if path is None:
        raise DataError("dataset 'table' is a file of your own: name it with path='my.csv'")
    if "items" in columns:
        columns["items"] = str(paths.absolute(columns["items"]))
    for file in (path, columns.get("items")):
        if file is not None:
            if str(file) != str(file).encode(errors="ignore").decode():  # bytes that are no text, as a shell gives them
                raise DataError(f"the name of the file {str(file)!r} is no UTF-8 text; rename it")
            check_file(paths.absolute(file))
    return str(paths.absolute(path)), columns


def apply(config: RecommenderConfig, settings: dict) -> RecommenderConfig:
    """``config`` with settings by dotted name ("tokenizer.n_tokens"); every stage is checked anew."""
    top = {name: value for name, value in settings.items() if "." not in name}
    for stage in STAGES:
        own = {name.split(".")[1]: value for name, value in settings.items() if name.startswith(stage + ".")}
        if own:
            top[stage] = replace(getattr(config, stage), **own)
    if "embeddings" in top:
        top["embeddings"] = {**config.embeddings, **top["embeddings"]}
    return replace(config, **top)


def _place(name: str) -> str:
    """Dotted name of a setting given by its own name or as stage__name."""
    if "__" in name:
        stage, field = name.split("__", 1)
        if stage in STAGES and field in _fields(STAGES[stage]):
            return f"{stage}.{field}"
    elif name in _fields(RecommenderConfig) and name not in STAGES:
        return name
    else:
        stages = [stage for stage, kind in STAGES.items() if name in _fields(kind)]
        if len(stages) == 1:
            return f"{stages[0]}.{name}"
        if stages:
            options = " or ".join(f"{stage}__{name}" for stage in stages)
            raise ValueError(f"setting {name!r} is not unique: use {options}")
    known = sorted({f for kind in (RecommenderConfig, *STAGES.values()) for f in _fields(kind)} - set(STAGES))
    raise ValueError(f"unknown setting {name!r}{nearest(name, known)}; known are {', '.join(known)}")


def _fields(kind) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def recipe_table(model: str = "contrec"):
    """Every setting with its value in each recipe of a model, and the source of the default (DataFrame).

    Columns: setting, one per recipe (preset ``laptop``, the widths and epochs of which are not the paper's), source.
    """
    import pandas as pd

    one_of("model", model, MODELS)
    configs = {name: Config.from_parameters(model, name, "laptop").recommender for name in RECIPES[model]}
    rows = []
    for stage, kind in {"": RecommenderConfig, **STAGES}.items():
        comments = _sources(kind)
        for field in _fields(kind):
            if not stage and (field in STAGES or field == "dataset"):
                continue
            values = {name: getattr(getattr(c, stage) if stage else c, field) for name, c in configs.items()}
            rows.append({"setting": f"{stage}.{field}".lstrip("."), **values, "source": comments.get(field, "")})
    return pd.DataFrame(rows)


def _sources(kind) -> dict[str, str]:
    """The comment beside each field: where its default comes from."""
    lines = [line for part in reversed(kind.__mro__[:-1]) for line in inspect.getsource(part).splitlines()]
    split = (line.split("#", 1) for line in lines if "#" in line and ":" in line.split("#")[0])
    return {code.split(":")[0].strip(): comment.strip() for code, comment in split}
