"""Where a fitted recommender is kept: a folder of safetensors, plain arrays and sealed JSON, whole or not at all."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save_file
from torch import Tensor

from contrec.asking import Askable
from contrec.data.interactions import Cases, Catalogue
from contrec.embeddings import Embeddings
from contrec.files import replacing, seal, sealed
from contrec.network import RecommenderConfig, config_from_dict
from contrec.training import trainable_state

TOKENIZERS = ("item_tokenizer", "user_tokenizer")


@dataclass
class Kept:
    """What a folder holds of a recommender.

    Attributes:
        config, seed, history: what was fitted, from which seed, and how training went.
        embeddings, catalogue, user_ids, sequences: as of :class:`contrec.asking.Askable`.
        own_parts: names of the parts that stood in the place of the config's: "tokenizer", "denoiser", "sampler".
        text_tokenizer: folder of the tiny backbone's tokenizer, there for that backbone alone.
        tokenizers: weights of each of :data:`TOKENIZERS`.
        network: weights that phase 2 trained.
    """

    config: RecommenderConfig
    seed: int
    history: dict[str, list[dict]]
    embeddings: Embeddings
    catalogue: Catalogue
    user_ids: np.ndarray
    sequences: Cases
    own_parts: tuple[str, ...]
    text_tokenizer: Path
    tokenizers: dict[str, dict[str, Tensor]]
    network: dict[str, Tensor]


def write(model: Askable, folder: Path, *, seed: int, history: dict, own_parts=(), replace: bool = False) -> None:
    """Write everything that :func:`read` gives back into a new folder, whole or not at all.

    Args:
        seed, history, own_parts: see :class:`Kept`.
        replace: whether a folder that is there already gives way once the new one is whole.

    Raises:
        FileExistsError: if the folder is there already and is not to give way.
    """
    if Path(folder).exists() and not replace:
        raise FileExistsError(f"{folder} exists already: give a new folder, or remove it first")
    with replacing(folder) as part:
        part.mkdir()
        _write(model, part, {"seed": seed, "history": history, "own_parts": list(own_parts)})


def _write(model: Askable, folder: Path, about: dict) -> None:
    tensors, settings = model.embeddings.state()
    save_file({n: t.contiguous() for n, t in tensors.items()}, folder / "embeddings.safetensors")
    save_file(trainable_state(model.network), folder / "network.safetensors")
    states = {name: getattr(model.network, name).state_dict() for name in TOKENIZERS}
    frozen = {f"{name}.{n}": t.contiguous() for name, state in states.items() for n, t in state.items()}
    save_file(frozen, folder / "tokenizers.safetensors")
    np.save(folder / "sequences.npy", np.stack([model.sequences.start, model.sequences.stop]))
    np.save(folder / "sequence_items.npy", model.sequences.items)
    if model.config.language.backbone == "tiny":
        model.text_tokenizer.save_pretrained(folder / "text_tokenizer")
    c = model.catalogue
    told = {
        "config": asdict(model.config),
        "seed": about["seed"],
        "embeddings": settings,
        "user_ids": [str(u) for u in model.user_ids],
        "catalogue": {
            "item_ids": [str(i) for i in c.item_ids],
            **{name: getattr(c, name) for name in ("titles", "brands", "categories", "facets", "answers")},
        },
        "history": about["history"],
        **({"own_parts": about["own_parts"]} if about["own_parts"] else {}),
    }
    seal(folder / "recommender.json", told)


def read(folder: Path) -> Kept:
    """What :func:`write` wrote.

    Raises:
        FileNotFoundError: if the folder holds no recommender.
        Damaged: naming the file of the folder that is missing or not as it was written.
    """
    folder = Path(folder)
    if not (folder / "recommender.json").exists():
        raise FileNotFoundError(f"{folder} holds no saved recommender (recommender.json is missing)")
    about = sealed(folder / "recommender.json")
    c = about["catalogue"]
    start, stop = np.load(folder / "sequences.npy")
    blank = np.full(len(start), -1)
    frozen = load_file(folder / "tokenizers.safetensors")
    return Kept(
        config=config_from_dict(about["config"]),
        seed=about["seed"],
        history=about["history"],
        embeddings=Embeddings.from_state(load_file(folder / "embeddings.safetensors"), about["embeddings"]),
        catalogue=Catalogue(
            np.array(c["item_ids"]),
            tuple(c["titles"]),
            tuple(c["brands"]),
            *(tuple(tuple(values) for values in c[key]) for key in ("categories", "facets")),
            tuple(c["answers"]),
        ),
        user_ids=np.array(about["user_ids"]),
        sequences=Cases(np.load(folder / "sequence_items.npy"), start, stop, np.arange(len(start)), blank, blank),
        own_parts=tuple(about.get("own_parts", ())),
        text_tokenizer=folder / "text_tokenizer",
        tokenizers={name: _part(frozen, name) for name in TOKENIZERS},
        network=load_file(folder / "network.safetensors"),
    )


def _part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors of one part, by their names in it."""
    return {n.removeprefix(f"{name}."): t for n, t in tensors.items() if n.startswith(f"{name}.")}
