"""Baselines behind the one protocol; ``make(name)`` builds one, unfitted, with its default settings.

A baseline of one's own is one file and one registration:

    import numpy as np
    from contrec import baselines, data, evaluation

    class Fresh:
        # what was taken most in the newest share of the train rows
        def __init__(self, share=0.2):
            self.share = share

        def fit(self, split, *, embeddings=None, seed=0, progress=False):
            time = split.train.timestamp
            newest = split.train.item[time >= np.quantile(time, 1 - self.share)]
            self.counts = np.bincount(newest, minlength=split.n_items)
            return self

        def score(self, cases):  # (B, m)
            return np.broadcast_to(self.counts, (len(cases), len(self.counts)))

    baselines.register("fresh", Fresh)
    split = data.split(*data.load("planted"))
    outcome = evaluation.evaluate(baselines.make("fresh", share=0.1).fit(split), split.test)

One that learns by gradient derives from :class:`Learned`, which brings the training loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from inspect import signature

from contrec.baselines.bsarec import BSARec
from contrec.baselines.dreamrec import DreamRec
from contrec.baselines.ease import EASE
from contrec.baselines.esasrec import ESASRec
from contrec.baselines.gru4rec import GRU4Rec
from contrec.baselines.gtn import GTN
from contrec.baselines.ials import IALS
from contrec.baselines.itemknn import ItemKNN
from contrec.baselines.learned import Learned
from contrec.baselines.lightgcn import LightGCN
from contrec.baselines.ltgnn import LTGNN
from contrec.baselines.mf import MF
from contrec.baselines.oracle import Oracle
from contrec.baselines.plain_head import PlainHead
from contrec.baselines.popularity import Popularity
from contrec.baselines.puresvd import PureSVD
from contrec.baselines.repeat_history import RepeatHistory
from contrec.baselines.sasrec import SASRec
from contrec.baselines.ssd4rec import SSD4Rec
from contrec.baselines.transitions import Transitions
from contrec.checks import known_settings, of_kind, one_of, plain_name, settings_of
from contrec.files import text_hash
from contrec.training import LoopConfig

REGISTRY = {
    "popularity": Popularity,
    "repeat_history": RepeatHistory,
    "itemknn": ItemKNN,
    "itemknn/recency": partial(ItemKNN, decay=0.7),  # chosen on LastFM validation: .7, .8, .9, .95, 1 tried
    "itemknn/text": partial(ItemKNN, decay=0.7, text_weight=0.1),
    "transitions": Transitions,
    "transitions/text": partial(Transitions, text_weight=0.2),
    "ease": EASE,
    "ease/tags": partial(EASE, tag_weight=1.0),
    "puresvd": PureSVD,
    "puresvd/64": partial(PureSVD, dim=64),
    "ials": IALS,
    "mf": MF,
    "lightgcn": LightGCN,
    "gtn": GTN,
    "ltgnn": LTGNN,
    "gru4rec": GRU4Rec,
    "sasrec": SASRec,
    "sasrec/bce": partial(SASRec, loss="bce"),
    "sasrec/text": partial(SASRec, start="text"),
    "esasrec": ESASRec,
    "bsarec": BSARec,
    "ssd4rec": SSD4Rec,
    "dreamrec": DreamRec,
    "dreamrec/inner": partial(DreamRec, score_by="inner"),
    "contrec/plain-head": PlainHead,
    "oracle": Oracle,
}


_OURS = frozenset(REGISTRY)


def register(name: str, maker: Callable) -> None:
    """Make a baseline known under a name; the same name again replaces it.

    Args:
        name: as in :func:`make`.
        maker: class or function that takes settings by keyword and gives a model with ``fit``, and ``score`` or
            ``topk``, see :class:`contrec.evaluation.Model`.

    Raises:
        ValueError: if a baseline of that name comes with the package.
        TypeError: if ``maker`` cannot be called, or the name is none.
    """
    plain_name("baseline", name)
    if name in _OURS:
        raise ValueError(f"baseline {name!r} comes with contrec; register yours under another name")
    of_kind("maker", maker, Callable, "give the class, or a function of settings")
    REGISTRY[name] = maker


def text_of(name: str) -> dict[str, str]:
    """What tells results of a registered baseline from those of another of its name: its text's hash.

    Of those that come with the package, stages know the source.
    """
    return {} if name in _OURS else {"text": text_hash(REGISTRY[name])}


def make(name: str, **settings):
    """Unfitted baseline ``name``, with its defaults unless ``settings`` say otherwise.

    Raises:
        ValueError: if no baseline has that name, or it has no setting of a name.
    """
    one_of("baseline", name, REGISTRY)
    known_settings(f"baseline {name!r}", settings, _settings(REGISTRY[name]))
    return REGISTRY[name](**settings)


def _settings(maker) -> set[str] | None:
    """Names of settings, with those of the training loop for a model that learns by gradient; None: any."""
    kind = maker.func if isinstance(maker, partial) else maker
    if not (isinstance(kind, type) and issubclass(kind, Learned)):
        return settings_of(maker)
    named = {name for name, p in signature(kind).parameters.items() if p.kind is not p.VAR_KEYWORD}
    return named | {field.name for field in fields(LoopConfig)}


__all__ = [
    "BSARec", "DreamRec", "EASE", "ESASRec", "GRU4Rec", "GTN", "IALS", "ItemKNN", "LTGNN", "Learned", "LightGCN", "MF",
    "Oracle", "PlainHead", "Popularity", "PureSVD", "REGISTRY", "RepeatHistory", "SASRec", "SSD4Rec", "Transitions",
    "make", "register",
]  # fmt: skip
