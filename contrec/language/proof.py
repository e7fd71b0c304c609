"""Whether a backbone reads as this package reads: a shared beginning, batches, a cache, two answers side by side.

Each pretrained model is asked before anything is trained: the states of prompts as long as they can become, read in a
batch from the shared beginning on, are compared with those of the plain model, prompt by prompt and without a cache.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from contrec.language.answers import AnswerSet
from contrec.language.backbone import decoder_config, decoder_of, logits_of
from contrec.language.injection import TokenInjector
from contrec.language.pretrained import refused
from contrec.language.prompts import PromptBatch, PromptBuilder, Ragged
from contrec.language.user_model import UserModel
from contrec.training import evaluating

TOLERANCE = 1e-3  # relative, in fp32: rounding gives 1e-6, wrong reading 1e-2 and more
LOW_PRECISION = 0.2  # bf16 and NF4: rounding gave up to 0.03 in a dozen layers, wrong positions mostly 0.3 and more


@torch.no_grad()
def prove(name: str, model, answers: AnswerSet, prompts: PromptBuilder, device="cpu") -> float:
    """The largest relative difference between a backbone's states as read here and those of the plain model.

    Raises:
        ValueError: if prompts could be longer than the model reads.
        OSError: if the model cannot be read from as it is done here; both with the reason and the way out.
    """
    check_length(name, model, answers, prompts)
    low = model.dtype != torch.float32 or getattr(model, "is_quantized", False)
    limit, largest = LOW_PRECISION if low else TOLERANCE, 0.0
    try:
        with evaluating(model):
            for what, difference in _differences(model, answers, prompts, device):
                if not difference <= limit:
                    raise refused(name, f"{what} (relative difference {difference:.2g}; {limit:.2g} would be rounding)")
                largest = max(largest, difference)
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        text = " ".join(str(error).split())[:200]
        raise refused(
            name, f"reading prompts of {prompts.longest} tokens ends in {type(error).__name__}: {text}"
        ) from error
    return largest


def check_length(name: str, model, answers: AnswerSet, prompts: PromptBuilder) -> None:
    """Refuse settings with which a prompt and its answer could be longer than the model's positions.

    Raises:
        ValueError: with the largest max_input that fits.
    """
    limit = getattr(decoder_config(model), "max_position_embeddings", None)
    answer = max(len(ids) for row in answers.ids for ids in row)
    if not isinstance(limit, int) or limit < 1 or prompts.longest + answer <= limit:
        return
    least = max(256, prompts.shortest)  # what LanguageConfig allows
    cure = f"set language.max_input to at most {limit - answer}" if limit - answer >= least else "no setting can help"
    raise ValueError(
        f"backbone {name!r} reads at most {limit} tokens, and prompts of up to {prompts.longest} with answers of up to "
        f"{answer} need {prompts.longest + answer}: {cure}, or use a backbone that reads more"
    )


def _differences(model, answers: AnswerSet, prompts: PromptBuilder, device) -> Iterator[tuple[str, float]]:
    """Relative differences, each behind what a large one would mean."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    decoder, embed, prefix = decoder_of(model), model.get_input_embeddings(), prompts.prefix
    width = embed.weight.shape[1]
    user_model = UserModel(model, TokenInjector(width, width, False), answers, prefix).to(device)

    def plain(ids, asked=decoder):
        return asked(input_ids=torch.as_tensor(ids, device=device)[None], use_cache=False)

    start = prefix[:12]
    states = plain(start).last_hidden_state[0]
    yield (
        f"its states have {states.shape[1]} dimensions and its embeddings {width}",
        abs(states.shape[1] - width) / width,
    )
    yield "its states are not finite, so its weights are damaged", _apart(states, states)
    before = plain(start[:6]).last_hidden_state[0]
    yield "a token's state depends on what follows it, so it is no causal LM", _apart(before, states[:6])
    given = decoder(inputs_embeds=embed(torch.as_tensor(start, device=device))[None], use_cache=False)
    yield "tokens given as vectors are read otherwise than by number", _apart(given.last_hidden_state[0], states)
    yield "its output layer cannot be asked alone", _apart(logits_of(model, states), plain(start, inner).logits[0])

    # a prompt as long as one can be, and a short one
    text = np.random.default_rng(0).choice(prefix[1:], prompts.longest - len(prefix))
    rows = [np.concatenate([prefix, text[:n]]) for n in (len(text), 3)]
    none = Ragged.of([np.empty(0, np.int64)] * len(rows))
    reading = user_model.read(PromptBatch(Ragged.of(rows), none, none), torch.zeros(0, width, device=device))
    written = user_model.write(reading)
    other = [answers.ids[-1][0]] * len(rows)
    first, second = user_model.follow(reading, written.ids, other)
    what = f"prompts of up to {prompts.longest} tokens have other states read in a batch than read alone"
    for ids, ways in ((written.ids, [(written.states, written.mask), first[::2]]), (other, [second[::2]])):
        for row, prompt in enumerate(rows):
            alone = plain(np.concatenate([prompt, ids[row][:-1]])).last_hidden_state[0, len(prompt) - 1 :]
            for own, mask in ways:
                yield what, _apart(own[row][mask[row]], alone)


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a.float() - b.float()).norm() / b.float().norm().clamp_min(1e-12))
