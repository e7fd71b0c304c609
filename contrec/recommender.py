"""ContRec and DeftRec behind the protocol of every model: how their parts are fitted and put together."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from contrec import embeddings as base_embeddings
from contrec import keeping, training
from contrec.asking import Askable, shown
from contrec.checks import nearest, of_kind, seed_number
from contrec.data.interactions import Interactions, Split
from contrec.data.splits import require_training
from contrec.data.training_cases import NotTaken, bucketed, known_sequences, training_cases
from contrec.evaluation import evaluate
from contrec.language import PROMPTS, RESPONSES, AnswerSet, PromptBuilder, TokenInjector, UserModel, load_backbone
from contrec.language.proof import prove
from contrec.network import Batch, Network, RecommenderConfig
from contrec.retriever import FacetIndex
from contrec.shown import Shown
from contrec.tokenizers import Tokenizer, make_tokenizer, train_tokenizer

NO_FACET = (
    "no category or brand is held by 5 items or more: preference texts name none, and the text bonus has no effect"
)


def negative_items(config: RecommenderConfig, train: Interactions):
    """What draws the items of the contrastive term, or None where it has no weight.

    Returns:
        A function of user numbers (B,) and a stream: items that each user never took, int64, (B, N), or with
        ``negatives`` "per_batch" any items, (1, N).
    """
    n = config.diffusion.n_negative_items
    if not config.training.negative_weight:
        return None
    if config.diffusion.negatives == "per_batch":
        return lambda users, rng: torch.from_numpy(rng.integers(train.n_items, size=(1, n)))
    others = NotTaken(train)
    return lambda users, rng: torch.from_numpy(others.draw(users, n, rng))


class Recommender(Askable, Shown):
    """ContRec or DeftRec behind the protocol of every model: fit, score, recommend, save, load.

    Args:
        config: what is fitted; recipes and presets in :mod:`contrec.study.config` produce it. None: its defaults.
        device: where it runs; None takes the GPU if there is one.
        tokenizer: a function or module in the place of ``config.tokenizer.kind``, see :mod:`contrec.tokenizers`.
        denoiser, sampler: in the place of those that ``config.diffusion`` names, see :mod:`contrec.diffusion`.
    """

    def __init__(
        self, config: RecommenderConfig | None = None, device: str | None = None, *, tokenizer=None, denoiser=None,
        sampler=None,
    ):  # fmt: skip
        config = RecommenderConfig() if config is None else config
        of_kind("config", config, RecommenderConfig, "of a contrec.Config take config.recommender")
        parts = {"tokenizer": tokenizer, "denoiser": denoiser, "sampler": sampler}
        self.config, self.own_parts = config, {name: part for name, part in parts.items() if part is not None}
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.history: dict[str, list[dict]] = {}

    def __getattr__(self, name: str):
        hint = nearest(name, dir(type(self)))
        if "network" not in self.__dict__:
            hint = ": it is not fitted yet, call fit(split) or Recommender.load(folder) first"
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")

    def about(self) -> dict:
        told = {"dataset": self.config.dataset, "inputs": self.config.inputs}
        told |= {"backbone": self.config.language.backbone, "tokenizer": self.config.tokenizer.kind}
        told |= {"denoiser": self.config.diffusion.denoiser, **{name: "its own" for name in self.own_parts}}
        if "network" not in self.__dict__:
            return told | {"fitted": False}
        return told | {"fitted": True, "users": len(self.user_ids), "items": len(self.catalogue)}

    def more(self) -> dict:
        told = {"device": str(self.device), "estimate": self.config.estimate, "score": self.config.score}
        if "network" not in self.__dict__:
            return told
        weights = sum(p.numel() for p in self.network.parameters() if p.requires_grad)
        values = [epoch["validation"] for epoch in self.history["phase2"] if "validation" in epoch]
        of_training = {"epochs": len(self.history["phase2"]), "best validation NDCG@10": max(values, default=None)}
        return told | {"seed": self.seed, "trained weights": weights} | of_training

    @property
    def epochs(self) -> int:
        """For how many epochs of phase 2 the kept weights were trained."""
        return training.chosen_epochs(self.history["phase2"], self.config.training)

    # -- fitting ---------------------------------------------------------------------------------------------------

    def fit(
        self, split: Split, *, embeddings=None, seed: int = 0, progress: bool = False, epochs: int | None = None,
        folder: Path | None = None,
    ):  # fmt: skip
        """Phase 1: tokenizers; phase 2: language model and diffusion with the tokenizers frozen (Algorithm 1, ContRec).

        Tokenizers that are trained jointly (DeftRec) have no phase 1.

        Args:
            split: only ``split.train`` reaches a parameter; validation cases choose the epoch.
            embeddings: base embeddings; None fits them as ``config.inputs`` says.
            seed: of everything random.
            epochs: of a refit: how many epochs of phase 2 validation has chosen before (``epochs`` of the model fitted
                then); None: validation chooses.
            folder: checkpoints of every epoch; the same call on the same folder goes on where it stopped.

        Raises:
            TypeError: if ``split`` or ``embeddings`` are something else.
            DataError: if there is too little to train on, or the base embeddings do not fit.
            ValueError: if the seed is none, or a loss becomes NaN.
        """
        require_training(split, epochs)
        self.seed = seed = seed_number(seed)
        if embeddings is not None and not (hasattr(embeddings, "items") and hasattr(embeddings, "users")):
            got = type(embeddings).__name__
            raise TypeError(f"embeddings need items and users, got a {got}: make them with contrec.embeddings.make")
        if not split.catalogue.answers:
            warnings.warn(NO_FACET, stacklevel=2)
        self._remember(split)
        backbone = self._backbone()  # first of all: a model that cannot be had is told before anything is trained
        self._write_texts(backbone)
        if self.config.language.backbone != "tiny":
            prove(self.config.language.backbone, backbone[0], self.answers, self.prompts, self.device)
        self.embeddings = embeddings or base_embeddings.make(
            self.config.inputs, split, seed=seed, progress=progress, **self.config.embeddings
        )
        items = self.item_vectors()
        base_embeddings.check_vectors("items", items, self.catalogue.item_ids)
        users = self.embeddings.users(split.train_cases, held_out=True).to(self.device)
        base_embeddings.check_vectors("users", users, self.user_ids[split.train_cases.user])
        tokenizers = {}
        for number, (name, x) in enumerate({"item": items, "user": users}.items()):
            with torch.random.fork_rng():
                torch.manual_seed(seed + number)
                tokenizers[name] = self._tokenizer(backbone[0])
            if self.config.tokenizer.train == "pretrain_freeze":
                self.history[f"{name}_tokenizer"] = train_tokenizer(
                    tokenizers[name], x, seed=seed + number, progress=progress, label=f"phase 1, {name} tokenizer"
                )
        self._build(backbone, tokenizers["item"], tokenizers["user"])
        self._split = split
        self.history["phase2"] = training.fit(
            self.network,
            self._batches,
            self._validate,
            self.config.training,
            seed=seed,
            epochs=epochs,
            folder=folder,
            progress=progress,
        )
        del self._split
        return self

    def _backbone(self, text_tokenizer: Path | None = None):
        """(causal LM, tokenizer); a folder with the tiny backbone's tokenizer is read instead of training one."""
        texts = [*self.catalogue.titles, *self.catalogue.answers]
        return load_backbone(self.config.language, texts, self.seed, text_tokenizer)

    def _tokenizer(self, model) -> Tokenizer:
        """An untrained tokenizer; tokens are as wide as the backbone's own where they enter as they are."""
        config = self.config.tokenizer
        if not self.config.language.project_tokens:
            config = replace(config, token_dim=model.get_input_embeddings().weight.shape[1])
        made = make_tokenizer(self.embeddings.dim, config, self.own_parts.get("tokenizer"))
        return made.to(self.device)

    def _remember(self, split: Split) -> None:
        """Keep what recommending needs: the catalogue and every user's known history."""
        self.catalogue, self.user_ids = split.catalogue, split.train.user_ids
        self.sequences = known_sequences(split)

    def _write_texts(self, backbone: tuple) -> None:
        """The prompts' and the answers' fixed texts in the backbone's tokens."""
        config, catalogue, self.text_tokenizer = self.config, self.catalogue, backbone[1]
        language, k = config.language, config.tokenizer.n_tokens
        self.prompts = PromptBuilder(
            self.text_tokenizer,
            catalogue,
            config.dataset,
            k,
            language.history_cap,
            language.max_input,
            language.title_chars,
            language.user_tokens,
        )
        self.facet_index = FacetIndex.build(catalogue.facets, catalogue.answers)
        number = {facet: n for n, facet in enumerate(catalogue.answers)}
        self._item_facet = np.array([number.get(catalogue.gold_answer(i), -1) for i in range(len(catalogue))])
        titles = [title[: language.title_chars] for title in catalogue.titles] if language.answer_has_title else None
        self.answers = AnswerSet(self.text_tokenizer, catalogue.answers, titles, self._item_facet)

    def _build(self, backbone: tuple, item_tokenizer: Tokenizer, user_tokenizer: Tokenizer) -> None:
        config, language, model = self.config, self.config.language, backbone[0]
        hidden = model.get_input_embeddings().weight.shape[1]
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            injector = TokenInjector(item_tokenizer.config.token_dim, hidden, language.project_tokens)
            injector.requires_grad_(language.train != "none")
            user_model = UserModel(model, injector, self.answers, self.prompts.prefix)
            network = Network(
                config, user_model.to(self.device), item_tokenizer, user_tokenizer, self.item_vectors(),
                denoiser=self.own_parts.get("denoiser"), sampler=self.own_parts.get("sampler"),
            )  # fmt: skip
        self.network = network.to(self.device).eval()

    def _batches(self, epoch: int) -> list[Batch]:
        """The batches of one epoch, a function of the seed and the epoch: prompts of similar length together."""
        cfg = self.config.training
        rng = np.random.default_rng([self.seed, epoch])
        cases = training_cases(self._split, cfg.cases, cfg.cases_per_user, rng)
        users = self.embeddings.users(cases, held_out=True)
        negatives = negative_items(self.config, self._split.train)
        batches = []
        for number, rows in enumerate(
            bucketed(np.minimum(cases.lengths, self.config.language.history_cap), cfg.batch_size, rng)
        ):
            part = cases.select(rows)
            prompts = self.prompts.build(
                shown(part, self.config.language, rng), rng.integers(len(PROMPTS), size=len(rows))
            )
            gold = [self._gold(int(item), int(rng.integers(len(RESPONSES)))) for item in part.target]
            target = torch.from_numpy(part.target).to(self.device)
            noise_seed = ((self.seed * 1_000_003 + epoch) * 100_003 + number) % training.SEEDS
            others = None if negatives is None else negatives(part.user, rng).to(self.device)
            batches.append(Batch(prompts, users[rows].to(self.device), target, gold, noise_seed, others))
        return batches

    def _gold(self, item: int, template: int) -> np.ndarray:
        if self.config.language.answer_has_title:
            number = item
        else:
            number = self._item_facet[item] if self.catalogue.answers else 0  # the one answer that names nothing
        return np.empty(0, np.int64) if number < 0 else self.answers.ids[template][number]

    def _validate(self) -> float:
        cases = self._split.validation
        limit = self.config.training.validation_users
        if len(cases) > limit:
            cases = cases.select(np.sort(np.random.default_rng(0).permutation(len(cases))[:limit]))
        return evaluate(self, cases).metrics()["NDCG@10"]

    # -- keeping ---------------------------------------------------------------------------------------------------

    def save(self, folder: Path, replace: bool = False) -> None:
        """Write everything that :meth:`load` needs; see :func:`contrec.keeping.write`."""
        keeping.write(self, folder, seed=self.seed, history=self.history, own_parts=self.own_parts, replace=replace)

    @classmethod
    def load(cls, folder: Path, device: str | None = None, **own_parts) -> Recommender:
        """The recommender that :meth:`save` wrote; see :func:`contrec.keeping.read`.

        Args:
            device: as of the class.
            own_parts: tokenizer, denoiser or sampler of one's own, the ones that it was fitted with.

        Raises:
            ValueError: if such a part is missing.
        """
        kept = keeping.read(folder)
        for name in kept.own_parts:
            if own_parts.get(name) is None:
                raise ValueError(
                    f"{folder} was fitted with a {name} of its own, which files do not hold: "
                    f"give it again, Recommender.load(folder, {name}=...)"
                )
        self = cls(kept.config, device, **own_parts)
        for name in ("seed", "history", "embeddings", "catalogue", "user_ids", "sequences"):
            setattr(self, name, getattr(kept, name))
        backbone = self._backbone(kept.text_tokenizer)
        self._write_texts(backbone)
        tokenizers = []
        for weights in kept.tokenizers.values():
            tokenizers.append(self._tokenizer(backbone[0]).eval())
            tokenizers[-1].load_state_dict(weights)
        self._build(backbone, *tokenizers)
        training.load_trainable_state(self.network, kept.network)
        return self
