"""The language model: a small Llama trained from scratch, or a causal LM of the hub with LoRA and optional NF4.

Any causal LM of text will do that keeps the keys and values of every token. Another one is refused with the reason,
here or by :mod:`contrec.language.proof`, before anything is trained.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from contrec.checks import in_range, one_of, positive
from contrec.language.last_layer import standing_in
from contrec.language.pretrained import load_pretrained, refused
from contrec.language.prompts import (
    INPUT_MARK,
    PROMPTS,
    RESPONSE_MARK,
    RESPONSES,
    ROLE_PLAY_AND_EXAMPLE,
    Z_END,
    Z_START,
)

# Llama's first weights, of deviation .02, are for wide models: a backbone below this width that starts from them writes
# one text for everybody after 400 steps still. It starts from the usual 1 / sqrt(width).
NARROW = 128


@dataclass(frozen=True)
class LanguageConfig:
    """Which backbone reads the prompts, how it is trained, and how long prompts may be."""

    backbone: str = "tiny"  # "tiny" or a hub name or a local folder; the papers: meta-llama/Llama-3.2-1B-Instruct
    train: str = "all"  # "all" weights (our choice) | "lora" (Appendix C.3) | "none" (frozen, for the control)
    quantize: bool = False  # NF4 with double quantization (Appendix C.3); needs train = "lora" or "none"
    lora_rank: int = 16  # released code, with alpha 32 and dropout .05
    project_tokens: bool = False  # a trained map from token to hidden width; False: tokens enter as is (Sect. 3.3)
    hidden: int = 128  # the rest shapes the tiny backbone: our choice, about a million parameters
    layers: int = 4  # our choice
    heads: int = 4  # our choice
    vocabulary: int = 2048  # our choice
    history_cap: int = 20  # Sect. 4.1.4
    max_input: int = 1024  # Sect. 4.1.1
    title_chars: int = 50  # released code
    user_tokens: bool = True  # the user's K tokens stand in the prompt (Appendix B.1); False: both released codes
    shuffle_history: bool = False  # True: the items shown stand in random order (Sect. 3.1.1, DeftRec)
    answer_has_title: bool = False  # True: the answer ends with the target's title (both released codes)
    loss_on: str = "answer"  # tokens of L_llm: Eq. (14), ContRec | "all", the prompt's too (DeftRec's released code)

    def __post_init__(self):
        one_of("train", self.train, ("all", "lora", "none"))
        one_of("loss_on", self.loss_on, ("answer", "all"))
        for name in ("lora_rank", "hidden", "layers", "heads", "vocabulary", "history_cap", "title_chars"):
            positive(name, getattr(self, name))
        in_range("max_input", self.max_input, 256, 131072)
        if self.backbone == "tiny" and (self.train == "lora" or self.quantize):
            raise ValueError(
                f"backbone 'tiny' starts from random weights, so it is trained whole: set train='all' (or 'none') and "
                f"quantize=False, got train={self.train!r}, quantize={self.quantize}"
            )
        if self.hidden % (2 * self.heads):
            raise ValueError(f"hidden must be a multiple of 2 * heads = {2 * self.heads}, got {self.hidden}")
        if self.quantize and self.train == "all":
            raise ValueError("quantize=True needs train='lora' or 'none': 4-bit weights cannot be trained themselves")


def train_text_tokenizer(texts: list[str], vocabulary: int):
    """A byte-level BPE tokenizer trained on texts, with end, padding and token markers.

    The study's own sentences are repeated, so that each costs few tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "<end>", Z_START, Z_END]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    sentences = [ROLE_PLAY_AND_EXAMPLE, INPUT_MARK, RESPONSE_MARK, *PROMPTS, *RESPONSES]
    tokenizer.train_from_iterator([s.strip() for s in sentences] * 50 + [" " + t for t in texts], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", additional_special_tokens=[Z_START, Z_END]
    )


def tiny_backbone(config: LanguageConfig, texts: list[str], seed: int, tokenizer_folder=None):
    """A Llama of about a million parameters with random weights.

    Its tokenizer is trained on ``texts``, or read from ``tokenizer_folder`` where a saved one is given.
    """
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    if tokenizer_folder is None:
        tokenizer = train_text_tokenizer(texts, config.vocabulary)
    else:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizer_folder)
    shape = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=config.hidden, intermediate_size=4 * config.hidden,
        num_hidden_layers=config.layers, num_attention_heads=config.heads, num_key_value_heads=config.heads,
        max_position_embeddings=config.max_input + 256, tie_word_embeddings=True, attn_implementation="sdpa",
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.02 if config.hidden >= NARROW else config.hidden**-0.5,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(shape)
    if config.train == "none":
        model.requires_grad_(False)
    return model, tokenizer


def hub_backbone(config: LanguageConfig, seed: int):
    """A causal LM by hub name or local folder, with markers added, LoRA on all linear layers and optional NF4.

    Raises:
        OSError: with the reason and the way out, if the model cannot be had or used.
    """
    model, tokenizer = load_pretrained(config.backbone, config.quantize)
    state = running_state(model)
    if state:
        raise refused(
            config.backbone, f"it does not keep the keys and values of every token ({state}), which prompts with a "
            "common beginning need: state spaces, linear attention and recurrence keep a running state"
        )  # fmt: skip
    tokenizer.add_tokens([Z_START, Z_END], special_tokens=True)
    rows = max(model.get_input_embeddings().num_embeddings, *(n + 1 for n in tokenizer.get_vocab().values()))
    with torch.random.fork_rng(devices=[]):  # rows of new markers are random, and frozen ones are not saved
        torch.manual_seed(seed)
        model.resize_token_embeddings(rows, mean_resizing=False)
    if config.train == "none":
        model.requires_grad_(False)
    elif config.train == "lora":
        model = _add_lora(model, tokenizer, config, seed)
    return model, tokenizer


def _add_lora(model, tokenizer, config: LanguageConfig, seed: int):
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    stacked = [name for name, p in model.named_parameters() if p.ndim > 2]
    if stacked:
        raise refused(
            config.backbone, f"experts that are stored as one tensor ({stacked[0]}) are not reached by LoRA: "
            "set language.train to 'all' or 'none'"
        )  # fmt: skip
    if config.quantize:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    rows, embedding = tokenizer.convert_tokens_to_ids([Z_START, Z_END]), model.get_input_embeddings()
    name = next(name for name, module in model.named_modules() if module is embedding)
    lora = LoraConfig(
        r=config.lora_rank, lora_alpha=2 * config.lora_rank, lora_dropout=0.05, bias="none", task_type="CAUSAL_LM",
        target_modules="all-linear", trainable_token_indices={name: rows},
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = get_peft_model(model, lora)
    left = without_adapter(model)
    if left:
        raise refused(config.backbone, f"LoRA would leave out {len(left)} of its layers, such as {left[0]}")
    return model


def without_adapter(model) -> list[str]:
    """Names of a LoRA model's linear layers that carry no adapter, the output layer left out."""
    from peft.tuners.lora import LoraLayer
    from transformers.pytorch_utils import Conv1D

    inside, left, head = (), [], model.get_output_embeddings()
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer) or module is head:
            inside += (name + ".",)
        elif isinstance(module, (nn.Linear, Conv1D)) and not name.startswith(inside):
            left.append(name)
    return left


def load_backbone(config: LanguageConfig, texts: list[str], seed: int, tokenizer_folder=None):
    """(causal LM, tokenizer) as the config says.

    Args:
        texts: train the tiny backbone's tokenizer, unless ``tokenizer_folder`` holds a saved one.
        seed: of all new weights.
    """
    if config.backbone == "tiny":
        return tiny_backbone(config, texts, seed, tokenizer_folder)
    return hub_backbone(config, seed)


def decoder_of(model) -> nn.Module:
    """The stack that turns embeddings into hidden states (LoRA layers included, output layer left out)."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    for stack in (inner.get_decoder(), inner.base_model, getattr(inner, "model", None)):
        if stack not in (inner, None) and not isinstance(stack, nn.Linear):  # some call their output layer "decoder"
            return stack
    raise refused(model.config.name_or_path, "its layers cannot be asked without its output layer")


def decoder_config(model):
    """The settings of the stack that reads text."""
    return model.config.get_text_config(decoder=True)


def takes_positions(model) -> bool:
    """Whether the decoder is told each token's position; else it counts the tokens of its mask (as ALiBi does)."""
    named = inspect.signature(decoder_of(model).forward).parameters
    return "position_ids" in named and not getattr(decoder_config(model), "alibi", False)


def drops_out(model) -> bool:
    """Whether a model drops anything out in training: a layer of it does, or its settings name a rate."""
    rates = [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)]
    rates += [value for name, value in decoder_config(model).to_dict().items() if "drop" in name]
    return any(isinstance(rate, float) and rate > 0 for rate in rates)


def running_state(model) -> str:
    """What shows that a model keeps no keys and values of each token; empty for one that does."""
    from transformers import DynamicCache

    if "past_key_values" not in inspect.signature(decoder_of(model).forward).parameters:
        return "no past_key_values"
    try:
        kinds = {type(layer).__name__ for layer in DynamicCache(config=decoder_config(model)).layers}
    except (TypeError, ValueError, LookupError, AttributeError) as error:  # settings that no cache can follow
        return f"{type(error).__name__}: {error}"
    return ", ".join(sorted(kinds - {"DynamicLayer", "DynamicSlidingWindowLayer"}))


def windows_of(model) -> dict[str, int | None]:
    """How many tokens each kind of layer looks back, its own token included, None: all; empty if all layers see all."""
    from transformers import DynamicCache

    config = decoder_config(model)
    windows = [getattr(layer, "sliding_window", None) for layer in DynamicCache(config=config).layers]
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * len(windows)
    return dict(zip(kinds, windows, strict=False)) if any(windows) else {}


def logits_of(model, states: Tensor) -> Tensor:
    """Logits (N, V) of states (N, H) as the model itself makes them: scaled, capped, with whatever its head has."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    with standing_in(decoder_of(model), lambda *_, **__: _States(states[None])):
        return inner(inputs_embeds=states[None], use_cache=False).logits[0]


class _States:
    """A decoder's output of states alone."""

    def __init__(self, states: Tensor):
        self.last_hidden_state = states

    def __getattr__(self, name: str):
        return None

    def __getitem__(self, place):
        return (self.last_hidden_state,)[place]
