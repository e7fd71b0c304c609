"""Continuous tokens, a language model and diffusion for recommendation, rebuilt from two papers: ContRec and DeftRec.

On planted data, in seconds:

    import contrec
    split = contrec.data.split(*contrec.data.load("planted", n_users=60, n_items=64))
    config = contrec.Config.from_parameters("contrec", "tuned", "tiny", training__epochs=1)
    model = contrec.Recommender(config.recommender).fit(split)
    contrec.evaluation.evaluate(model, split.test)
    model.recommend(split.train.user_ids[0], k=5)

Parts are imported when they are asked for:

    Config, Recommender                             the settings of a study; ContRec or DeftRec, fitted and asked
    data, embeddings, tokenizers, language          from interactions to what the language model reads
    diffusion, network, retriever, training         from what it says to a ranking, and how that is learned
    recommender, controls, baselines, evaluation    models behind one protocol, and what they are worth
    study, experiments, bench                       the engine, one room an experiment, the cost of each part
    papers, artifacts, plots, report                what is printed, what is kept, how it is shown
"""

from __future__ import annotations

from importlib import import_module

_PLACES = {"Recommender": "contrec.recommender", "Config": "contrec.study.config"}
_ROOMS = (
    *("artifacts", "baselines", "bench", "controls", "data", "diffusion", "embeddings", "evaluation", "experiments"),
    *("language", "network", "papers", "plots", "recommender", "report", "retriever", "study", "tokenizers"),
    "training",
)

__all__ = [*_PLACES, *_ROOMS]


def __getattr__(name: str):
    """Parts are imported when they are asked for, so that ``import contrec`` takes no time."""
    if name == "__version__":
        from importlib.metadata import version

        return version("contrec")
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    if name in _ROOMS:
        return import_module(f"contrec.{name}")
    from contrec.checks import nearest

    raise AttributeError(f"module 'contrec' has no attribute {name!r}{nearest(name, __all__)}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
