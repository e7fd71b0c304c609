"""The network of phase 2 and its settings: tokens, user model, condition and diffusion head (Fig. 2 of both papers)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from contrec.checks import in_range, one_of, positive
from contrec.diffusion import Diffusion, DiffusionConfig
from contrec.language import LanguageConfig, PromptBatch, UserModel, make_condition_net
from contrec.language.condition_net import KINDS as CONDITION_NETS
from contrec.language.prompts import pad
from contrec.memory import rows_at_once
from contrec.retriever import SCORES
from contrec.tokenizers import Tokenizer, TokenizerConfig
from contrec.training import TrainingConfig

CONDITIONS = ("generated", "gold", "prompt")
ESTIMATES = ("sample", "mean", "point")


@dataclass(frozen=True)
class RecommenderConfig:
    """Everything that defines a fitted ContRec or DeftRec besides the data and the seed; one part per stage."""

    inputs: str = "fused"  # base vectors: "lightgcn" | "text" | "fused" (Sect. 4.1.4) | "relation" | "random"
    embeddings: dict = field(default_factory=dict)  # settings of that provider; our choice: its defaults
    tokenizer: TokenizerConfig = TokenizerConfig()
    language: LanguageConfig = LanguageConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    training: TrainingConfig = TrainingConfig()
    n_condition: int = 4  # M condition vectors (released code)
    condition_net: str = "attention"  # f_c of Sect. 3.4; our choice | "mean" (DeftRec) | "length_mlp" (released code)
    condition_length: int = 64  # answer positions that "length_mlp" mixes (released code)
    condition_from: str = "generated"  # states of the "generated" (Sect. 3.4) | in training "gold" answer | "prompt"
    condition_states: str = "hidden"  # what emits the answer's tokens (Sect. 3.4) | "input": their rows, no gradient
    residual: bool = False  # our choice: the preference starts from the user's base vector; needs the direct head
    estimate: str = "sample"  # what is ranked: one "sample" (Sect. 3.4) | "mean" of n_samples | "point" estimate
    score: str = "cosine"  # Eq. (22) | "euclidean" (both released codes) | "inner"
    text_bonus: float = 0.05  # pi of Eq. (22), Sect. 3.5.2
    dataset: str = "planted"  # named in the role play

    def __post_init__(self):
        positive("n_condition", self.n_condition)
        positive("condition_length", self.condition_length)
        one_of("condition_net", self.condition_net, CONDITION_NETS)
        one_of("condition_from", self.condition_from, CONDITIONS)
        one_of("condition_states", self.condition_states, ("hidden", "input"))
        one_of("score", self.score, SCORES)
        one_of("estimate", self.estimate, ESTIMATES)
        in_range("text_bonus", self.text_bonus, 0, 1)
        if self.residual and self.diffusion.head != "direct":
            raise ValueError(
                "residual=True needs the diffusion head 'direct', which is the one that takes the user's vector"
            )
        if self.condition_net == "mean" and self.n_condition != 1:
            raise ValueError(f"condition_net 'mean' gives one vector: set n_condition=1, got {self.n_condition}")
        if self.condition_from == "prompt" and self.condition_states == "input":
            raise ValueError("condition_states='input' takes the rows of an answer: condition_from='prompt' has none")


@dataclass
class Batch:
    """One training batch: prompts, users' base vectors (B, d), targets (B,), gold answers' ids (empty where none).

    ``negatives`` (B, N) or (1, N) are items for the contrastive term of DeftRec, None without it.

    Each of ``count`` processes holds the whole batch, so that all draw the same noise and the losses are those of the
    whole batch; its share is what the language model reads: every ``count``-th row, beginning with ``index``.
    """

    prompts: PromptBatch
    users: Tensor
    target: Tensor
    gold: list[np.ndarray]
    seed: int
    negatives: Tensor | None = None
    index: int = 0
    count: int = 1

    def shard(self, index: int, count: int) -> Batch:
        """The same batch for one of ``count`` processes."""
        return replace(self, index=index, count=count)

    @property
    def rows(self) -> np.ndarray:
        """The rows of this process; none where the batch has fewer rows than there are processes."""
        return np.arange(self.index, len(self.target), self.count)

    def share(self, tokens: Tensor) -> tuple[PromptBatch, Tensor, list[np.ndarray]]:
        """Prompts, slot tokens and gold answers of this process's rows; of row 0, to no effect, where it has none.

        Args:
            tokens: continuous tokens of every slot of the whole batch, (N, D).
        """
        rows = self.rows if len(self.rows) else np.zeros(1, np.int64)
        of_row = tokens.split(self.prompts.slot_source.lengths.tolist())
        return self.prompts.select(rows), torch.cat([of_row[row] for row in rows]), [self.gold[row] for row in rows]

    def token_weight(self, prefix: int | None = None) -> float:
        """Factor of a mean over this process's answer tokens that makes the mean over processes the whole batch's.

        Args:
            prefix: where the prompts' tokens count too, the length of what all prompts share; its end is told by none.
        """
        tokens = np.array([len(gold) for gold in self.gold])
        if prefix is not None:
            tokens = tokens + self.prompts.ids.lengths - prefix - 1
        return self.count * tokens[self.rows].sum() / max(1, tokens.sum())

    def joined(self, own: Tensor) -> Tensor:
        """Values of all rows, (B, ...), from those of this process's rows, which alone carry a gradient.

        Gradients are averaged over processes afterwards, so here they enter ``count`` times.
        """
        if self.count == 1:
            return own
        rows = torch.from_numpy(self.rows).to(own.device)
        own = own[: len(rows)]
        whole = own.new_zeros(len(self.target), *own.shape[1:]).index_copy(0, rows, own.detach())
        torch.distributed.all_reduce(whole)
        return whole.index_add(0, rows, own - own.detach(), alpha=self.count)


class Network(nn.Module):
    """Phase 2 of both models: tokenizers, the user model, the condition and the diffusion head (Fig. 2 of each paper).

    Args:
        config: settings.
        user_model: backbone with injection.
        item_tokenizer, user_tokenizer: pretrained and frozen (Sect. 3.5.1, ContRec), or trained here (DeftRec).
        items: base embeddings q, (m, d).
        denoiser, sampler: of :class:`contrec.diffusion.Diffusion`.
    """

    def __init__(
        self,
        config: RecommenderConfig,
        user_model: UserModel,
        item_tokenizer: Tokenizer,
        user_tokenizer: Tokenizer,
        items: Tensor,
        *,
        denoiser=None,
        sampler=None,
    ):
        super().__init__()
        self.config, self.user_model = config, user_model
        self.frozen = config.tokenizer.train == "pretrain_freeze"
        self.item_tokenizer = item_tokenizer.requires_grad_(not self.frozen)
        self.user_tokenizer = user_tokenizer.requires_grad_(not self.frozen and config.language.user_tokens)
        if not self.frozen and hasattr(item_tokenizer, "decoder"):  # no loss of phase 2 reaches it
            for tokenizer in (item_tokenizer, user_tokenizer):
                tokenizer.decoder.requires_grad_(False)
        dim = items.shape[1]
        self.condition_net = make_condition_net(
            config.condition_net, user_model.hidden, dim, config.n_condition, config.condition_length
        )
        self.diffusion = Diffusion(dim, config.diffusion, *self.condition_net.shape, denoiser=denoiser, sampler=sampler)
        self.register_buffer("items", items, persistent=False)
        shape = config.tokenizer
        rows = rows_at_once(4 * (dim + 2 * shape.width + 2 * shape.n_tokens * item_tokenizer.config.token_dim))
        with torch.no_grad():
            tokens = torch.cat([item_tokenizer.eval().encode(part) for part in items.split(rows)])  # (m, K, D)
        # only frozen tokenizers have a table
        self.register_buffer("item_tokens", tokens if self.frozen else None, persistent=False)
        user_model.injector.match(tokens, user_model.vocabulary())

    def train(self, mode: bool = True) -> Network:
        """As for any module; but what is not trained stays as it is at test, without dropout."""
        super().train(mode)
        for part in (self.user_model.model, self.item_tokenizer, self.user_tokenizer):
            part.train(mode and any(weight.requires_grad for weight in part.parameters()))
        return self

    def tokens(
        self, prompts: PromptBatch, users: Tensor, generator: torch.Generator | None, seeds: Tensor | None = None
    ) -> Tensor:
        """Continuous tokens of every slot of a batch, (N, D).

        Args:
            generator: adds the noise of training; None: none.
            seeds: of each case, int64, (B,), for a tokenizer that masks when it recommends, too.
        """
        source = torch.from_numpy(prompts.slot_source.values).to(users.device)
        of_items = (source >= 0)[:, None]
        if not self.frozen:
            return self._joint_tokens(prompts, users, generator, seeds, source)
        tokens = self.item_tokens.flatten(0, 1)[source.clamp_min(0)]  # a gather from the token table
        if self.config.language.user_tokens:  # K a prompt, in the prompts' order
            tokens[~of_items[:, 0]] = self.user_tokenizer.encode(users).flatten(0, 1)
        if generator is None:
            return tokens
        noisy = [t.add_noise(tokens[:, None], generator)[:, 0] for t in (self.item_tokenizer, self.user_tokenizer)]
        return torch.where(of_items, *noisy)

    def _joint_tokens(self, prompts: PromptBatch, users: Tensor, generator, seeds, source: Tensor) -> Tensor:
        """:meth:`tokens` of tokenizers that are trained here: every item shown is encoded anew, with its gradient."""
        k, of_items = self.config.tokenizer.n_tokens, source >= 0
        items = self.items[source[of_items].view(-1, k)[:, 0] // k]  # an item's K slots stand side by side
        masks = self._history_masks(len(prompts), generator, seeds)
        if masks is not None:
            case = torch.from_numpy(np.repeat(np.arange(len(prompts)), prompts.slot_source.lengths)).to(users.device)
            items, users = items * masks[case[of_items].view(-1, k)[:, 0]], users * masks
            generator = None
        encoded = self.item_tokenizer.encode(items, generator).flatten(0, 1)
        if not self.config.language.user_tokens:
            return encoded
        users = self.user_tokenizer.encode(users, generator).flatten(0, 1)
        tokens = encoded.new_empty(len(source), encoded.shape[1])
        tokens = tokens.index_put((of_items.nonzero()[:, 0],), encoded)
        return tokens.index_put(((~of_items).nonzero()[:, 0],), users)

    def _history_masks(self, size: int, generator: torch.Generator | None, seeds: Tensor | None) -> Tensor | None:
        """One mask (B, d) for everything that a prompt shows, where the tokenizer is to have it; else None."""
        config, dim, device = self.config.tokenizer, self.items.shape[1], self.items.device
        if config.kind != "masked_encoder":
            return None
        if generator is not None and config.mask_shared:
            drawn = torch.rand(size, dim, generator=generator, device=device)
        elif generator is None and config.mask_at_test and seeds is not None:
            stream = torch.Generator()
            drawn = torch.stack([torch.rand(dim, generator=stream.manual_seed(s)) for s in seeds.tolist()]).to(device)
        else:
            return None
        return (drawn >= config.mask_ratio).float()

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of Eq. (20), ContRec, and Eq. (15), DeftRec, and their weighted "total".

        "llm", "diffusion" and "dispersion"; "negative" where the batch has negatives.
        """
        cfg, device = self.config.training, batch.users.device
        generator = torch.Generator(device=device).manual_seed(batch.seed)
        model, whole = self.user_model, self.config.language.loss_on == "all"
        prompts, tokens, answers = batch.share(self.tokens(batch.prompts, batch.users, generator))
        reading = model.read(prompts, tokens, whole)
        if self.config.condition_from == "generated":
            written, gold = model.follow(reading, model.text(prompts, tokens, reading), answers)
            states, mask = self._states(*written)
        else:
            (gold,) = model.follow(reading, answers)
            gives_gold = self.config.condition_from == "gold"
            states, mask = self._states(*gold_states(gold)) if gives_gold else prompt_states(reading)
        told = [torch.cat(parts, dim=1) for parts in zip(reading.prompt, gold, strict=True)] if whole else gold
        losses = {"llm": batch.token_weight(len(model.prefix) if whole else None) * model.answer_loss(*told)}
        negative = None
        if batch.negatives is not None:
            negative = self.items[batch.negatives].mean(1).expand(len(batch.target), -1)
        losses |= self.diffusion.losses(  # small beside the language model: every process computes it for all rows
            self.items[batch.target],
            batch.joined(self.condition_net(states, mask)),
            user=batch.users if self.config.residual else None,
            items=self.items,
            target=batch.target,
            negative=negative,
            generator=generator,
        )
        preference = losses["diffusion"] + cfg.dispersion_weight * losses["dispersion"]
        losses["total"] = cfg.llm_weight * losses["llm"] + cfg.diffusion_weight * preference
        if negative is not None:
            losses["total"] = losses["total"] + cfg.negative_weight * losses["negative"]
        return losses

    def _states(self, states: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """What the condition is made of: the states that emit an answer's tokens, or the tokens' own input rows."""
        if self.config.condition_states == "input":
            states = self.user_model.model.get_input_embeddings()(ids).detach()
        return states, mask

    @torch.no_grad()
    def condition(
        self, prompts: PromptBatch, users: Tensor, seeds: Tensor | None = None
    ) -> tuple[Tensor, np.ndarray, np.ndarray]:
        """Condition c (B, M, d), and template and answer number (B,) of the preference text, without noise.

        Args:
            seeds: of each case, (B,), see :meth:`tokens`.
        """
        reading = self.user_model.read(prompts, self.tokens(prompts, users, None, seeds))
        written = self.user_model.write(reading)
        if self.config.condition_from == "prompt":
            states, mask = prompt_states(reading)
        else:
            ids, mask = (x.to(users.device) for x in pad(written.ids))
            states, mask = self._states(written.states, ids, mask)
        return self.condition_net(states, mask), written.template, written.answer


def prompt_states(reading) -> tuple[Tensor, Tensor]:
    """The single state at the prompt's end, as (B, 1, H) with its mask: the condition without a text."""
    return reading.last[:, None], torch.ones(len(reading.last), 1, dtype=torch.bool, device=reading.last.device)


def gold_states(gold) -> tuple[Tensor, Tensor, Tensor]:
    """States, ids and mask of the gold answer; of a target without one, the state at the prompt's end."""
    states, ids, mask = gold
    mask = mask.clone()
    mask[:, 0] = True
    return states, ids, mask


def config_from_dict(values: dict) -> RecommenderConfig:
    """The config behind ``dataclasses.asdict``; unknown keys raise TypeError naming them."""
    stages = {
        "tokenizer": TokenizerConfig,
        "language": LanguageConfig,
        "diffusion": DiffusionConfig,
        "training": TrainingConfig,
    }
    return RecommenderConfig(**{key: stages[key](**v) if key in stages else v for key, v in values.items()})
