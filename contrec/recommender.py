"""ContRec and DeftRec behind the protocol of every model: how their parts are fitted, asked, saved and loaded."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from contrec import embeddings as base_embeddings
from contrec import training
from contrec.checks import in_range, one_of, positive, seed_number
from contrec.data.interactions import Cases, Catalogue, Interactions, Split, history_seed
from contrec.data.splits import require_training
from contrec.data.training_cases import NotTaken, bucketed, known_sequences, shuffled, training_cases
from contrec.evaluation import evaluate
from contrec.files import replacing, seal, sealed
from contrec.language import PROMPTS, RESPONSES, AnswerSet, PromptBuilder, TokenInjector, UserModel, load_backbone
from contrec.language.proof import prove
from contrec.memory import rows_at_once
from contrec.network import ESTIMATES, Batch, Network, RecommenderConfig, config_from_dict
from contrec.retriever import FacetIndex, TopK, hybrid_scores, hybrid_topk
from contrec.tokenizers import Tokenizer, make_tokenizer, train_tokenizer

NO_FACET = (
    "no category or brand is held by 5 items or more: preference texts name none, and the text bonus has no effect"
)


@dataclass
class Understanding:
    """What the language side makes of cases: the diffusion's inputs and the preference text.

    Attributes:
        condition: c, (B, M, d).
        users: base vectors of the users, (B, d).
        template, answer: indices of the preference text, (B,).
        facet: number of the facet that the text names, (B,), -1 for none.
        seeds: one noise seed per case, from its history, so that a case's noise does not depend on its batch.
    """

    condition: Tensor
    users: Tensor
    template: np.ndarray
    answer: np.ndarray
    facet: np.ndarray
    seeds: Tensor


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


class Recommender:
    """ContRec or DeftRec behind the protocol of every model: fit, score, recommend, save, load.

    Args:
        config: what is fitted; recipes and presets in :mod:`contrec.study.config` produce it.
        device: where it runs; None takes the GPU if there is one.
    """

    def __init__(self, config: RecommenderConfig, device: str | None = None):
        self.config = config
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.history: dict[str, list[dict]] = {}

    def __getattr__(self, name: str):
        hint = "" if "network" in self.__dict__ else ": it is not fitted yet, call fit or load first"
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")

    # -- fitting ---------------------------------------------------------------------------------------------------

    def fit(self, split: Split, *, embeddings=None, seed: int = 0, progress: bool = False, folder: Path | None = None):
        """Phase 1: tokenizers; phase 2: language model and diffusion with the tokenizers frozen (Algorithm 1, ContRec).

        Tokenizers that are trained jointly (DeftRec) have no phase 1.

        Args:
            split: only ``split.train`` reaches a parameter; validation cases choose the epoch.
            embeddings: base embeddings; None fits them as ``config.inputs`` says.
            seed: of everything random.
            folder: checkpoints of every epoch; the same call on the same folder goes on where it stopped.

        Raises:
            DataError: if there is too little to train on, or the base embeddings do not fit.
            ValueError: if the seed is none, or a loss becomes NaN.
        """
        require_training(split)
        seed = seed_number(seed)
        if not split.catalogue.answers:
            warnings.warn(NO_FACET, stacklevel=2)
        self._remember(split)
        backbone = self._backbone(seed)  # first of all: a model that cannot be had is told before anything is trained
        self._write_texts(backbone)
        if self.config.language.backbone != "tiny":
            prove(self.config.language.backbone, backbone[0], self.answers, self.prompts, self.device)
        token_dim = self._token_dim(backbone[0])
        self.embeddings = embeddings or base_embeddings.make(
            self.config.inputs, split, seed=seed, progress=progress, **self.config.embeddings
        )
        items = self._items()
        base_embeddings.check_vectors("items", items, self.catalogue.item_ids)
        users = self.embeddings.users(split.train_cases, held_out=True).to(self.device)
        base_embeddings.check_vectors("users", users, self.user_ids[split.train_cases.user])
        tokenizers = {}
        for number, (name, x) in enumerate({"item": items, "user": users}.items()):
            with torch.random.fork_rng():
                torch.manual_seed(seed + number)
                shape = replace(self.config.tokenizer, token_dim=token_dim)
                tokenizers[name] = make_tokenizer(items.shape[1], shape).to(self.device)
            if self.config.tokenizer.train == "pretrain_freeze":
                self.history[f"{name}_tokenizer"] = train_tokenizer(
                    tokenizers[name], x, seed=seed + number, progress=progress, label=f"phase 1, {name} tokenizer"
                )
        self._build(seed, backbone, tokenizers["item"], tokenizers["user"])
        self._seed, self._split = seed, split
        self.history["phase2"] = training.fit(
            self.network,
            self._batches,
            self._validate,
            self.config.training,
            seed=seed,
            folder=folder,
            progress=progress,
        )
        del self._split
        return self

    def _backbone(self, seed: int, text_tokenizer: Path | None = None):
        """(causal LM, tokenizer); a folder with the tiny backbone's tokenizer is read instead of training one."""
        texts = [*self.catalogue.titles, *self.catalogue.answers]
        return load_backbone(self.config.language, texts, seed, text_tokenizer)

    def _token_dim(self, model) -> int:
        """Width of a token: the backbone's own where tokens enter as they are, else the tokenizer's setting."""
        if self.config.language.project_tokens:
            return self.config.tokenizer.token_dim
        return model.get_input_embeddings().weight.shape[1]

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

    def _build(self, seed: int, backbone: tuple, item_tokenizer: Tokenizer, user_tokenizer: Tokenizer) -> None:
        config, language, model = self.config, self.config.language, backbone[0]
        hidden = model.get_input_embeddings().weight.shape[1]
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            injector = TokenInjector(item_tokenizer.config.token_dim, hidden, language.project_tokens)
            injector.requires_grad_(language.train != "none")
            user_model = UserModel(model, injector, self.answers, self.prompts.prefix)
            network = Network(config, user_model.to(self.device), item_tokenizer, user_tokenizer, self._items())
        self.network = network.to(self.device).eval()

    def _items(self) -> Tensor:
        return self.embeddings.items.to(self.device)

    def _batches(self, epoch: int) -> list[Batch]:
        """The batches of one epoch, a function of the seed and the epoch: prompts of similar length together."""
        cfg = self.config.training
        rng = np.random.default_rng([self._seed, epoch])
        cases = training_cases(self._split, cfg.cases, cfg.cases_per_user, rng)
        users = self.embeddings.users(cases, held_out=True)
        negatives = negative_items(self.config, self._split.train)
        batches = []
        for number, rows in enumerate(
            bucketed(np.minimum(cases.lengths, self.config.language.history_cap), cfg.batch_size, rng)
        ):
            part = cases.select(rows)
            prompts = self.prompts.build(self._shown(part, rng), rng.integers(len(PROMPTS), size=len(rows)))
            gold = [self._gold(int(item), int(rng.integers(len(RESPONSES)))) for item in part.target]
            target = torch.from_numpy(part.target).to(self.device)
            noise_seed = ((self._seed * 1_000_003 + epoch) * 100_003 + number) % training.SEEDS
            others = None if negatives is None else negatives(part.user, rng).to(self.device)
            batches.append(Batch(prompts, users[rows].to(self.device), target, gold, noise_seed, others))
        return batches

    def _shown(self, cases: Cases, order: np.random.Generator | np.ndarray) -> Cases:
        """The cases as the prompt shows them: the newest items in random order, where the config says so.

        Args:
            order: in training a stream to draw from, else the seed of each case, (B,).
        """
        language = self.config.language
        if not language.shuffle_history:
            return cases
        seeds = order if isinstance(order, np.ndarray) else order.integers(2**62, size=len(cases))
        return shuffled(cases, language.history_cap, seeds)

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

    # -- asking ----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def understand(self, cases: Cases, batch_size: int = 64, held_out: bool = False) -> Understanding:
        """Prompts, preference texts and conditions of cases.

        Results depend on order and batch size by rounding alone: in fp32 less than 1e-6 of a state's length, so that a
        text could differ only where two tokens are equally likely to as many digits.

        But for rounding: a matrix product of other shape adds its terms in another order. Measured in float32: scores
        differ by up to 3e-7, which can only reorder items that are as near to each other.

        Args:
            held_out: for training cases: base vectors of users that do not know the user's own rows.
        """
        users = self.embeddings.users(cases, held_out=held_out).to(self.device)
        order = np.argsort(np.minimum(cases.lengths, self.config.language.history_cap), kind="stable")
        seeds = np.array([history_seed(cases.history(i)) for i in range(len(cases))], dtype=np.int64)
        parts = []
        for rows in np.split(order, range(batch_size, len(order), batch_size)):
            shown = self._shown(cases.select(rows), seeds[rows])
            prompts = self.prompts.build(shown, seeds[rows] % len(PROMPTS))
            seed = torch.from_numpy(seeds[rows])
            parts.append(self.network.condition(prompts, users[torch.from_numpy(rows)], seed))
        back = np.argsort(order)
        condition = torch.cat([part[0] for part in parts])[torch.from_numpy(back)]
        template, answer = (np.concatenate([part[n] for part in parts])[back] for n in (1, 2))
        facet = self.answers.named[answer]
        return Understanding(condition, users, template, answer, facet, torch.from_numpy(seeds))

    def preference(self, known: Understanding, estimate: str | None = None, **sampling) -> Tensor:
        """The preference vectors y, (B, d).

        Args:
            estimate: "sample" | "mean" | "point"; the config's where None.
            **sampling: n_samples, sampler, steps, guidance_strength; the config's where absent.
        """
        estimate = estimate or self.config.estimate
        one_of("estimate", estimate, ESTIMATES)
        users = known.users if self.config.residual else None
        if estimate == "point":
            return self.network.diffusion.point(known.condition, user=users)
        if estimate == "sample":
            sampling["n_samples"] = 1
        drawn = self.network.diffusion.sample(
            known.condition, user=users, seeds=known.seeds, items=self._items(), **sampling
        )
        return nn.functional.normalize(drawn, dim=-1).mean(dim=1)

    def denoising_path(self, known: Understanding, **sampling) -> Tensor:
        """The way from noise to the first case's preference, (steps + 1, d); sampling as in :meth:`preference`."""
        users = known.users[:1] if self.config.residual else None
        path = self.network.diffusion.sample(
            known.condition[:1],
            user=users,
            seeds=known.seeds[:1],
            items=self._items(),
            n_samples=1,
            trajectory=True,
            **sampling,
        )
        return path[:, 0, 0].cpu()

    def score(self, cases: Cases) -> Tensor:
        """Hybrid scores (Eq. 22) of the whole catalogue, (B, m)."""
        known = self.understand(cases)
        return self.scores_of(self.preference(known), known.facet)

    def scores_of(self, preference: Tensor, facet: np.ndarray | None) -> Tensor:
        """Eq. (22) for given preferences (B, d) and named facets (B,); without facets the plain cosine."""
        match = None if facet is None else self.facet_index.match(facet, len(self.catalogue)).to(self.device)
        return hybrid_scores(preference, self._items(), match, self.config.text_bonus, self.config.score)

    def recommend(self, user=None, k: int = 10, *, history: Sequence | None = None):
        """Top-k items for a known user (original id) or a history of original item ids, oldest first.

        Returns:
            DataFrame of k rows: case (always 0), rank, item, title, score, cosine, bonus, text (the preference text).

        Raises:
            ValueError: for an unknown user or item, an empty history, or k larger than what is left of the catalogue.
        """
        if (user is None) == (history is None):
            raise ValueError("give either a user or a history, not both and not neither")
        cases = self.cases_of([user]) if history is None else Cases.from_histories([self._indices_of(history)])
        return self.recommend_cases(cases, k)

    def recommend_cases(self, cases: Cases, k: int):
        """As :meth:`recommend` for many cases at once; column "case" counts them."""
        positive("k", k)
        known = self.understand(cases)
        return self.ranked(cases, k, known, self.preference(known))

    def ranked(self, cases: Cases, k: int, known: Understanding, preference: Tensor, text_bonus: float | None = None):
        """The table of :meth:`recommend_cases` from preferences (B, d): what is understood once can be ranked often.

        Args:
            known: the understanding of ``cases``.
            text_bonus: pi of Eq. (22); the config's where None.
        """
        import pandas as pd

        top = self._topk(
            preference, known.facet, cases, k, self.config.text_bonus if text_bonus is None else text_bonus
        )
        ids = top.ids.cpu().numpy()
        texts = [self.answers.text(t, a) for t, a in zip(known.template, known.answer, strict=True)]
        return pd.DataFrame(
            {
                "case": np.repeat(np.arange(len(cases)), k),
                "rank": np.tile(np.arange(1, k + 1), len(cases)),
                "item": self.catalogue.item_ids[ids].ravel(),
                "title": [self.catalogue.titles[i] for i in ids.ravel()],
                "score": top.score.cpu().numpy().ravel(),
                "cosine": top.cosine.cpu().numpy().ravel(),
                "bonus": top.bonus.cpu().numpy().ravel(),
                "text": np.repeat(texts, k),
            }
        )

    def _topk(self, preference: Tensor, facet: np.ndarray, cases: Cases, k: int, text_bonus: float) -> TopK:
        """The k best unseen items of each case; "cosine" stays the cosine where something else is ranked by."""
        rows = rows_at_once(8 * len(self.catalogue))
        if len(cases) > rows:
            blocks = [slice(start, start + rows) for start in range(0, len(cases), rows)]
            parts = [self._topk(preference[b], facet[b], cases.select(b), k, text_bonus) for b in blocks]
            return TopK(*(torch.cat(part) for part in zip(*parts, strict=True)))
        seen, items = cases.history_matrix(len(self.catalogue)), self._items()
        if self.config.score == "cosine":
            return hybrid_topk(
                preference, items, k, facet=facet, facet_items=self.facet_index, seen=(seen.indptr, seen.indices),
                text_bonus=text_bonus,
            )  # fmt: skip
        scores = self.scores_of(preference, facet)
        rows = torch.from_numpy(np.repeat(np.arange(len(cases)), np.diff(seen.indptr))).to(scores.device)
        scores[rows, torch.from_numpy(seen.indices.astype(np.int64)).to(scores.device)] = -torch.inf
        left = int(scores.isfinite().sum(1).min())
        in_range("k", k, 1, left)
        score, ids = scores.topk(k)
        cosine = nn.functional.cosine_similarity(preference[:, None], items[ids], dim=2)
        return TopK(ids, score, cosine, torch.zeros_like(score))

    def cases_of(self, users: Sequence) -> Cases:
        """Cases with everything known of users, by original id."""
        number = {str(user): n for n, user in enumerate(self.user_ids)}
        unknown = [str(user) for user in users if str(user) not in number]
        if unknown:
            raise ValueError(
                f"unknown user {unknown[0]!r}: give one of the {len(number)} users of the data, such as "
                f"{self.user_ids[0]}, or a history of items"
            )
        return self.sequences.select(np.array([number[str(user)] for user in users]))

    def _indices_of(self, history: Sequence) -> np.ndarray:
        if not len(history):
            raise ValueError("the history is empty: give at least one item id")
        number = {str(item): n for n, item in enumerate(self.catalogue.item_ids)}
        unknown = [str(item) for item in history if str(item) not in number]
        if unknown:
            raise ValueError(
                f"unknown items in the history: {', '.join(unknown[:5])}; item ids are those of the catalogue, "
                f"such as {self.catalogue.item_ids[0]}"
            )
        return np.array([number[str(item)] for item in history])

    # -- keeping ---------------------------------------------------------------------------------------------------

    def save(self, folder: Path, replace: bool = False) -> None:
        """Write everything :meth:`load` needs into a new folder, whole or not at all: safetensors, JSON, plain arrays.

        Args:
            replace: whether a folder that is there already gives way once the new one is whole.

        Raises:
            FileExistsError: if the folder is there already and is not to give way.
        """
        if Path(folder).exists() and not replace:
            raise FileExistsError(f"{folder} exists already: give a new folder, or remove it first")
        with replacing(folder) as part:
            part.mkdir()
            self._write(part)

    def _write(self, folder: Path) -> None:
        from safetensors.torch import save_file

        tensors, settings = self.embeddings.state()
        save_file({n: t.contiguous() for n, t in tensors.items()}, folder / "embeddings.safetensors")
        save_file(training.trainable_state(self.network), folder / "network.safetensors")
        frozen = {
            f"{name}.{n}": t.contiguous()
            for name in ("item_tokenizer", "user_tokenizer")
            for n, t in getattr(self.network, name).state_dict().items()
        }
        save_file(frozen, folder / "tokenizers.safetensors")
        np.save(folder / "sequences.npy", np.stack([self.sequences.start, self.sequences.stop]))
        np.save(folder / "sequence_items.npy", self.sequences.items)
        if self.config.language.backbone == "tiny":
            self.text_tokenizer.save_pretrained(folder / "text_tokenizer")
        c = self.catalogue
        about = {
            "config": asdict(self.config),
            "seed": self._seed,
            "embeddings": settings,
            "user_ids": [str(u) for u in self.user_ids],
            "catalogue": {
                "item_ids": [str(i) for i in c.item_ids],
                **{name: getattr(c, name) for name in ("titles", "brands", "categories", "facets", "answers")},
            },
            "history": self.history,
        }  # fmt: skip
        seal(folder / "recommender.json", about)

    @classmethod
    def load(cls, folder: Path, device: str | None = None) -> Recommender:
        """The recommender that :meth:`save` wrote.

        Raises:
            FileNotFoundError: if the folder holds none.
            Damaged: naming the file of the folder that is missing or not as it was written.
        """
        from safetensors.torch import load_file

        folder = Path(folder)
        if not (folder / "recommender.json").exists():
            raise FileNotFoundError(f"{folder} holds no saved recommender (recommender.json is missing)")
        about = sealed(folder / "recommender.json")
        self = cls(config_from_dict(about["config"]), device)
        self._seed, self.history = about["seed"], about["history"]
        self.embeddings = base_embeddings.Embeddings.from_state(
            load_file(folder / "embeddings.safetensors"), about["embeddings"]
        )
        c = about["catalogue"]
        self.catalogue = Catalogue(
            np.array(c["item_ids"]), tuple(c["titles"]), tuple(c["brands"]),
            *(tuple(tuple(values) for values in c[key]) for key in ("categories", "facets")), tuple(c["answers"]),
        )  # fmt: skip
        self.user_ids = np.array(about["user_ids"])
        start, stop = np.load(folder / "sequences.npy")
        blank = np.full(len(start), -1)
        self.sequences = Cases(np.load(folder / "sequence_items.npy"), start, stop, np.arange(len(start)), blank, blank)
        backbone = self._backbone(self._seed, folder / "text_tokenizer")
        self._write_texts(backbone)
        weights = load_file(folder / "tokenizers.safetensors")
        dim, tokenizers = self.embeddings.items.shape[1], []
        for name in ("item_tokenizer", "user_tokenizer"):
            shape = replace(self.config.tokenizer, token_dim=self._token_dim(backbone[0]))
            tokenizer = make_tokenizer(dim, shape)
            tokenizer.load_state_dict({n.removeprefix(name + "."): t for n, t in weights.items() if n.startswith(name)})
            tokenizers.append(tokenizer.to(self.device).eval())
        self._build(self._seed, backbone, *tokenizers)
        training.load_trainable_state(self.network, load_file(folder / "network.safetensors"))
        return self
