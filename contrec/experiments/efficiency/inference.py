"""What one batch of inference costs, part by part, in the reference layout and in the library (ContRec, Table 4)."""

from __future__ import annotations

import math
import platform
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from contrec.asking import Understanding
from contrec.bench import generate, rank, sample
from contrec.bench.harness import stopwatch, watched
from contrec.controls import Variant
from contrec.data.interactions import Cases, history_seed
from contrec.evaluation import evaluate
from contrec.language import PROMPTS
from contrec.recommender import Recommender
from contrec.retriever import hybrid_topk
from contrec.study.parallel import one_thread

BATCH, TOP_K, FORCED = 24, 20, 64  # Appendix C.3: batch; RELEASED code: tokens that are always generated
PARTS = ("llm", "diffusion", "ranking")
LAYOUTS = ("reference layout", "contrec/one-sample", "contrec/point")


def machine(device: str = "cpu") -> str:
    """The processor that the times belong to."""
    if device != "cpu":
        return torch.cuda.get_device_name()
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").splitlines() if about.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{(names or [platform.processor() or platform.machine()])[0]}, one thread"


def split_by_part(recommender: Recommender, cases: Cases, repeats: int = 3) -> pd.DataFrame:
    """Seconds and peak memory of the first ``BATCH`` cases, by layout and part; the layouts run in turn.

    "reference layout": prompts padded to the input limit, eager attention, logits at all positions, 64 forced tokens;
    DDPM of 100 steps with two calls each; a full sort for each user. "contrec/one-sample" and "contrec/point" are the
    library, which draws one sample with DDIM of 20 steps, or takes the point estimate, which is one call.

    Returns:
        layout, part (llm | diffusion | ranking), seconds (CPU, one thread; a GPU's own), MiB, users, and for the
        reference layout ``same_text``: share of users whose text it writes as the library does (else NaN).
    """
    cases, device = cases.select(slice(0, BATCH)), recommender.device.type
    known = recommender.understand(cases)
    users = known.users if recommender.config.residual else None
    items, diffusion = recommender.embeddings.items.to(recommender.device), recommender.network.diffusion
    seen = cases.history_matrix(len(items))
    seen = (seen.indptr.astype(np.int64), seen.indices.astype(np.int64))
    bonus = {"facet": known.facet, "facet_items": recommender.facet_index, "text_bonus": recommender.config.text_bonus}
    drawn = recommender.preference(known, "sample", sampler="ddim", steps=20)

    def ours(preference: Callable[[], Tensor]) -> tuple[Callable, ...]:
        return (
            lambda: recommender.understand(cases),
            preference,
            lambda: hybrid_topk(drawn, items, TOP_K, seen=seen, **bonus),
        )

    layouts = {
        LAYOUTS[0]: (
            lambda: read_and_write(recommender, cases, known),
            lambda: sample.reference_layout(diffusion, known.condition, known.seeds, users, items),
            lambda: rank.reference_layout(rank.World(drawn, items, known.facet, recommender.facet_index, seen)),
        ),
        LAYOUTS[1]: ours(lambda: recommender.preference(known, "sample", sampler="ddim", steps=20)),
        LAYOUTS[2]: ours(lambda: recommender.preference(known, "point")),
    }
    texts = read_and_write(recommender, cases, known)
    same = np.mean([a == b.tolist() for a, b in zip(texts, answer_ids(recommender, known), strict=True)])
    seconds, memory = {}, {}
    with one_thread():
        for turn in range(repeats + 1):  # the first is the warm-up, with its memory watched
            for layout, calls in layouts.items():
                for part, call in zip(PARTS, calls, strict=True):
                    if turn == 0:
                        with watched(device) as peak:
                            call()
                        memory[layout, part] = peak.mib
                    else:
                        clock = stopwatch(device)
                        call()
                        seconds.setdefault((layout, part), []).append(clock())
    return pd.DataFrame(
        [
            {
                "layout": layout, "part": part, "seconds": statistics.median(values), "MiB": memory[layout, part],
                "users": len(cases), "same_text": same if layout == LAYOUTS[0] else math.nan,
            }
            for (layout, part), values in seconds.items()
        ]
    )  # fmt: skip


def answer_ids(recommender: Recommender, known: Understanding) -> list[np.ndarray]:
    """Token ids of the preference texts."""
    return [recommender.answers.ids[t][a] for t, a in zip(known.template, known.answer, strict=True)]


@torch.no_grad()
def read_and_write(recommender: Recommender, cases: Cases, known: Understanding) -> list[list[int]]:
    """Texts of cases in the reference layout, with the condition taken from their states; ids up to the end token."""
    network, end = recommender.network, recommender.text_tokenizer.eos_token_id
    template = np.array([history_seed(cases.history(i)) for i in range(len(cases))]) % len(PROMPTS)
    prompts = recommender.prompts.build(cases, template)
    tokens = network.tokens(prompts, known.users, None)
    width = recommender.config.language.max_input
    ids, states = generate.reference_layout(network.user_model, prompts, tokens, width, FORCED, end)
    network.condition_net(states, torch.ones(states.shape[:2], dtype=torch.bool, device=states.device))
    return [row[: row.index(end) + 1] for row in ids.tolist()]


def by_history(recommender: Recommender, cases: Cases, lengths: Sequence[int], repeats: int = 3) -> pd.DataFrame:
    """Seconds of the language side for one batch against the number of history items: library and reference layout.

    Returns:
        layout, items (longest history shown), tokens (mean length of a prompt), seconds, MiB.
    """
    longest = cases.select(np.argsort(-cases.lengths, kind="stable")[:BATCH])
    rows = []
    for length in lengths:
        part = Cases.from_histories([longest.history(i)[-length:] for i in range(len(longest))])
        known = recommender.understand(part)
        mean = recommender.prompts.build(part, known.seeds.numpy() % len(PROMPTS)).ids.lengths.mean()
        calls = {
            LAYOUTS[0]: lambda part=part, known=known: read_and_write(recommender, part, known),
            "contrec": lambda part=part: recommender.understand(part),
        }
        for layout, call in calls.items():
            with one_thread():
                with watched(recommender.device.type) as peak:
                    call()
                seconds = [_timed(call, recommender.device.type) for _ in range(repeats)]
            row = {"layout": layout, "items": length, "tokens": mean, "seconds": statistics.median(seconds)}
            rows.append({**row, "MiB": peak.mib})
    return pd.DataFrame(rows)


def by_catalogue(sizes: Sequence[int]) -> pd.DataFrame:
    """Seconds and peak memory of ranking 256 users against the number of items, on one thread.

    Each size is ranked twice; the first call warms up. Columns as :func:`contrec.bench.rank.peak_memory` returns them.
    """
    return pd.DataFrame([[rank.peak_memory(n), rank.peak_memory(n)][1] for n in sizes])


def by_sampling(
    recommender: Recommender, cases: Cases, steps: Sequence[int], samples: Sequence[int], top_k: int = 10
) -> pd.DataFrame:
    """What steps and samples cost and what they bring: seconds of the diffusion for a batch, and HR of all cases.

    Returns:
        kind ("steps of DDIM, one sample" | "samples of DDIM-20, their mean" | "DDPM, one sample" | "point
        estimate"), steps, samples, seconds (CPU, for ``BATCH`` users), HR@10 with low and high (95 % bootstrap).
    """
    known = recommender.understand(cases)
    most = min(100, recommender.config.diffusion.timesteps)
    settings = [("steps of DDIM, one sample", "sample", {"sampler": "ddim", "steps": s}) for s in steps]
    settings += [
        ("samples of DDIM-20, their mean", "mean", {"sampler": "ddim", "steps": 20, "n_samples": n}) for n in samples
    ]
    settings += [("DDPM, one sample", "sample", {"sampler": "ddpm", "steps": most}), ("point estimate", "point", {})]
    batch = recommender.understand(cases.select(slice(0, BATCH)))
    rows, rows_of = [], {cases.history(i).tobytes(): i for i in range(len(cases))}
    for kind, estimate, setting in settings:
        preference = recommender.preference(known, estimate, **setting)
        found = evaluate(Variant(recommender, rows_of, preference, known.facet), cases)
        low, high = found.intervals()[f"HR@{top_k}"]
        with one_thread():
            seconds = [
                _timed(lambda: recommender.preference(batch, estimate, **setting), recommender.device.type)  # noqa: B023
                for _ in range(3)
            ]
        row = {"kind": kind, "steps": setting.get("steps", 1), "samples": setting.get("n_samples", 1)}
        row["seconds"] = statistics.median(seconds)
        rows.append({**row, f"HR@{top_k}": found.metrics()[f"HR@{top_k}"], "low": low, "high": high})
    return pd.DataFrame(rows)


def _timed(call: Callable, device: str) -> float:
    clock = stopwatch(device)
    call()
    return clock()
