"""A pretrained causal LM by hub name or folder: read as it is, or refused with the reason.

Nothing unpickles, and no code of a model's repository is run.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

CURE = "give a causal LM of the hub or its folder, such as Qwen/Qwen2.5-0.5B-Instruct, or use backbone='tiny'"


def load_pretrained(name: str, quantize: bool = False):
    """(causal LM, tokenizer), in bf16 on a GPU and fp32 else, weights in NF4 where asked for.

    Raises:
        OSError: with the reason and the way out.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    config = read_config(name)
    tokenizer = _read(name, "tokenizer", AutoTokenizer)
    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    quantization = None
    if quantize:
        quantization = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
    # attention is chosen by transformers: SDPA where the model can do it, else eager
    model, found = _read(
        name, "weights", AutoModelForCausalLM, config=config, dtype=dtype, quantization_config=quantization,
        use_safetensors=True, output_loading_info=True, ignore_mismatched_sizes=True,
    )  # fmt: skip
    for tensor, stored, expected in sorted(found["mismatched_keys"]):
        shapes = f"{tuple(stored)}, by its config.json {tuple(expected)}"
        raise refused(name, f"its weights do not fit its config.json: {tensor} has the shape {shapes}")
    missing = sorted(found["missing_keys"])
    if missing:
        raise refused(name, f"its weights lack {len(missing)} tensors of a {config.model_type}, such as {missing[0]}")
    _check_tokenizer(name, tokenizer, model.get_input_embeddings().num_embeddings)
    for module in model.modules():
        # packed for some CPUs, 4-bit weights would be rounded anew at each change from training to evaluation
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = tokenizer.eos_token_id
    return model, tokenizer


def read_config(name: str):
    """The settings of a pretrained causal LM; its weights are not read.

    Raises:
        OSError: with the reason and the way out, if it cannot be had, or its files show that it cannot be used.
    """
    from transformers import AutoConfig

    _check_folder(name)
    config = _read(name, "config.json", AutoConfig)
    _check_kind(name, config)
    return config


def refused(name: str, reason: str) -> OSError:
    """The error of a backbone that cannot be used, with the way out."""
    return OSError(f"backbone {name!r} cannot be used: {reason}; {CURE}")


def _read(name: str, part: str, kind, **settings):
    try:
        return kind.from_pretrained(name, trust_remote_code=False, **settings)
    except Exception as error:  # whatever a file can cause, in three libraries
        raise _unread(name, part, error) from error


def _unread(name: str, part: str, error: Exception) -> OSError:
    """What to do about a part of a backbone that could not be read."""
    text = " ".join(f"{error} {error.__cause__ or ''}".split())
    if "trust_remote_code" in text:
        return refused(name, "it needs code of its own repository, which is not run here")
    if Path(name).is_dir() or not isinstance(error, OSError):
        return refused(name, f"its {part} cannot be read ({type(error).__name__}: {text[:200]})")
    if "gated" in text.lower() or "403" in text or "401" in text:
        return OSError(
            f"backbone {name!r} is gated: ask for access on its model page, then run `hf auth login`; "
            "or use an ungated one, such as Qwen/Qwen2.5-0.5B-Instruct"
        )
    return OSError(
        f"backbone {name!r} is neither a local folder nor to be had from the hub now ({part}): check the name and the "
        f"network, or download it elsewhere and give its folder, or use backbone='tiny' ({text[:160]})"
    )


def _check_folder(name: str) -> None:
    """Refuse a path whose files cannot be a model; a hub name passes."""
    folder = Path(name)
    if folder.is_file():
        form = "a GGUF file" if folder.suffix.lower() == ".gguf" else "a file"
        raise refused(name, f"it is {form}, and a folder with config.json and *.safetensors is needed")
    if not folder.is_dir():
        if name.startswith(("/", ".", "~")) or "\\" in name:
            raise refused(name, "there is no such folder")
        return
    has = {path.name for path in folder.iterdir()}
    if "modules.json" in has or "config_sentence_transformers.json" in has:
        raise refused(name, "it is a sentence encoder, which writes no text")
    if "adapter_config.json" in has:
        raise refused(name, "it holds an adapter: merge it into its model first")
    if "config.json" not in has:
        if any(file.lower().endswith(".gguf") for file in has):
            raise refused(name, "it holds a GGUF file, and config.json with *.safetensors is needed")
        raise refused(name, "the folder holds no config.json")
    _check_config(name, _json(name, folder / "config.json"))
    _check_weights(name, folder, has)


def _json(name: str, path: Path) -> dict:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise refused(name, f"{path.name} is damaged ({error})") from None
    if not isinstance(values, dict):
        raise refused(name, f"{path.name} is damaged (no JSON object)")
    return values


def _check_config(name: str, config: dict) -> None:
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise refused(name, "its config.json names no model_type")
    if kind not in CONFIG_MAPPING_NAMES and "auto_map" not in config:
        raise refused(name, f"transformers {transformers.__version__} does not know its model_type {kind!r}")


def _check_kind(name: str, config) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind = config.model_type
    if getattr(config, "is_encoder_decoder", False):
        raise refused(name, f"{kind} is an encoder with a decoder, and no causal LM")
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise refused(name, f"{kind} is no causal LM")
    if config.get_text_config(decoder=True) is not config:
        raise refused(name, f"{kind} reads images or sound besides text, and only models of text are trained here")


def _check_weights(name: str, folder: Path, has: set[str]) -> None:
    from safetensors import SafetensorError, safe_open

    index = "model.safetensors.index.json"
    if "model.safetensors" in has:
        files = ["model.safetensors"]
    elif index in has:
        shards = _json(name, folder / index).get("weight_map")
        files = sorted({str(file) for file in shards.values()}) if isinstance(shards, dict) else []
        if not files:
            raise refused(name, f"{index} is damaged (no weight_map)")
    elif any(file.endswith(".safetensors") for file in has):
        raise refused(name, f"it holds parts of weights, and neither model.safetensors nor {index}")
    elif any(file.endswith((".bin", ".pt", ".pth", ".ckpt")) for file in has):
        raise refused(name, "its weights are pickled, which can run code: save them as safetensors first")
    else:
        raise refused(name, "it holds no weights (*.safetensors)")
    for file in files:
        if file not in has:
            raise refused(name, f"{file} is missing")
        try:
            with safe_open(folder / file, "pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise refused(name, f"{file} is damaged ({error})") from None


def _check_tokenizer(name: str, tokenizer, rows: int) -> None:
    """Refuse a tokenizer that is not the model's, or cannot write the answers."""
    from contrec.language.prompts import ROLE_PLAY_AND_EXAMPLE, encode_plain

    if tokenizer.vocab_size > rows:
        raise refused(name, f"its tokenizer knows {tokenizer.vocab_size} tokens and its model {rows}")
    ids = encode_plain(tokenizer, [ROLE_PLAY_AND_EXAMPLE])[0]
    if sum(i != tokenizer.unk_token_id for i in ids) < max(20, len(ids) / 2):
        raise refused(name, "its tokenizer does not know English text, or its files are missing")
    if tokenizer.eos_token_id is None:
        raise refused(name, "its tokenizer has no end token, so answers could not stop")
