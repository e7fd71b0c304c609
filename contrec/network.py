"""The network of phase 2 and its settings: tokens, user model, condition and diffusion head in one module (Fig. 2)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from contrec.checks import in_range, one_of, positive
from contrec.diffusion import Diffusion, DiffusionConfig
from contrec.language import ConditionNet, LanguageConfig, PromptBatch, UserModel
from contrec.tokenizers import SigmaVAE, TokenizerConfig
from contrec.training import TrainingConfig

CONDITIONS = ("generated", "gold", "prompt")
ESTIMATES = ("sample", "mean", "point")


@dataclass(frozen=True)
class RecommenderConfig:
    """Everything that defines a fitted ContRec besides the data and the seed; one part per stage."""

    inputs: str = "fused"  # base vectors: "lightgcn" | "text" | "fused" (Sect. 4.1.4) | "relation" (popularity inside)
    embeddings: dict = field(default_factory=dict)  # settings of that provider; our choice: its defaults
    tokenizer: TokenizerConfig = TokenizerConfig()
    language: LanguageConfig = LanguageConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    training: TrainingConfig = TrainingConfig()
    n_condition: int = 4  # M condition vectors (released code)
    condition_from: str = "generated"  # states of the "generated" (Sect. 3.4) | in training "gold" answer | "prompt"
    residual: bool = False  # our choice: the preference starts from the user's base vector; needs the direct head
    estimate: str = "sample"  # what is ranked: one "sample" (Sect. 3.4) | "mean" of n_samples | "point" estimate
    text_bonus: float = 0.05  # pi of Eq. (22), Sect. 3.5.2
    dataset: str = "planted"  # named in the role play

    def __post_init__(self):
        positive("n_condition", self.n_condition)
        one_of("condition_from", self.condition_from, CONDITIONS)
        one_of("estimate", self.estimate, ESTIMATES)
        in_range("text_bonus", self.text_bonus, 0, 1)
        if self.residual and self.diffusion.head != "direct":
            raise ValueError(
                "residual=True needs the diffusion head 'direct', which is the one that takes the user's vector"
            )


@dataclass
class Batch:
    """One training batch: prompts, users' base vectors (B, d), targets (B,), gold answers' ids (empty where none).

    Each of ``count`` processes holds the whole batch, so that all draw the same noise and the losses are those of the
    whole batch; its share is what the language model reads: every ``count``-th row, beginning with ``index``.
    """

    prompts: PromptBatch
    users: Tensor
    target: Tensor
    gold: list[np.ndarray]
    seed: int
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

    def token_weight(self) -> float:
        """Factor of a mean over this process's answer tokens that makes the mean over processes the whole batch's."""
        return self.count * sum(len(self.gold[row]) for row in self.rows) / max(1, sum(map(len, self.gold)))

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


class ContRec(nn.Module):
    """The network of phase 2: frozen tokenizers, the user model, the condition and the diffusion head (Fig. 2).

    Args:
        config: settings.
        user_model: backbone with injection.
        item_tokenizer, user_tokenizer: pretrained and frozen (Sect. 3.5.1).
        items: base embeddings q, (m, d).
    """

    def __init__(
        self,
        config: RecommenderConfig,
        user_model: UserModel,
        item_tokenizer: SigmaVAE,
        user_tokenizer: SigmaVAE,
        items: Tensor,
    ):
        super().__init__()
        self.config, self.user_model = config, user_model
        self.item_tokenizer = item_tokenizer.requires_grad_(False)
        self.user_tokenizer = user_tokenizer.requires_grad_(False)
        dim = items.shape[1]
        self.condition_net = ConditionNet(user_model.hidden, dim, config.n_condition)
        self.diffusion = Diffusion(dim, config.diffusion, config.n_condition)
        self.register_buffer("items", items, persistent=False)
        with torch.no_grad():
            self.register_buffer("item_tokens", item_tokenizer.encode(items), persistent=False)  # (m, K, D)
        user_model.injector.match(self.item_tokens, user_model.model.get_input_embeddings().weight)

    def tokens(self, prompts: PromptBatch, users: Tensor, generator: torch.Generator | None) -> Tensor:
        """Continuous tokens of every slot of a batch, (N, D): a gather from the token table; a generator adds noise."""
        source = torch.from_numpy(prompts.slot_source.values).to(users.device)
        of_items = (source >= 0)[:, None]
        tokens = self.item_tokens.flatten(0, 1)[source.clamp_min(0)]
        tokens[~of_items[:, 0]] = self.user_tokenizer.encode(users).flatten(0, 1)  # K a prompt, in the prompts' order
        if generator is None:
            return tokens
        noisy = [t.add_noise(tokens[:, None], generator)[:, 0] for t in (self.item_tokenizer, self.user_tokenizer)]
        return torch.where(of_items, *noisy)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of Eq. (20): "llm", "diffusion", "dispersion" and their weighted "total"."""
        cfg = self.config.training
        generator = torch.Generator(device=batch.users.device).manual_seed(batch.seed)
        model = self.user_model
        prompts, tokens, answers = batch.share(self.tokens(batch.prompts, batch.users, generator))
        reading = model.read(prompts, tokens)
        if self.config.condition_from == "generated":
            written, gold = model.follow(reading, model.write(reading, states=False).ids, answers)
            states, mask = written[0], written[2]
        else:
            (gold,) = model.follow(reading, answers)
            states, mask = gold_states(gold) if self.config.condition_from == "gold" else prompt_states(reading)
        losses = {"llm": batch.token_weight() * model.answer_loss(*gold)}
        losses |= self.diffusion.losses(  # small beside the language model: every process computes it for all rows
            self.items[batch.target],
            batch.joined(self.condition_net(states, mask)),
            user=batch.users if self.config.residual else None,
            items=self.items,
            target=batch.target,
            generator=generator,
        )
        preference = losses["diffusion"] + cfg.dispersion_weight * losses["dispersion"]
        losses["total"] = cfg.llm_weight * losses["llm"] + cfg.diffusion_weight * preference
        return losses

    @torch.no_grad()
    def condition(self, prompts: PromptBatch, users: Tensor) -> tuple[Tensor, np.ndarray, np.ndarray]:
        """Condition c (B, M, d), and template and facet (B,) of the preference text, without noise."""
        reading = self.user_model.read(prompts, self.tokens(prompts, users, None))
        written = self.user_model.write(reading)
        states, mask = (
            prompt_states(reading) if self.config.condition_from == "prompt" else (written.states, written.mask)
        )
        return self.condition_net(states, mask), written.template, written.facet


def prompt_states(reading) -> tuple[Tensor, Tensor]:
    """The single state at the prompt's end, as (B, 1, H) with its mask: the condition without a text."""
    return reading.last[:, None], torch.ones(len(reading.last), 1, dtype=torch.bool, device=reading.last.device)


def gold_states(gold) -> tuple[Tensor, Tensor]:
    """The states that emit the gold answer; of a target without one, the state at the prompt's end."""
    states, _, mask = gold
    mask = mask.clone()
    mask[:, 0] = True
    return states, mask


def config_from_dict(values: dict) -> RecommenderConfig:
    """The config behind ``dataclasses.asdict``; unknown keys raise TypeError naming them."""
    stages = {
        "tokenizer": TokenizerConfig,
        "language": LanguageConfig,
        "diffusion": DiffusionConfig,
        "training": TrainingConfig,
    }
    return RecommenderConfig(**{key: stages[key](**v) if key in stages else v for key, v in values.items()})
