"""Building the prompts of a batch: words and marks of the template, titles and slots, as token ids."""

from __future__ import annotations

import os

import numpy as np

from contrec import data
from contrec.bench.harness import FAIR, OURS, REFERENCE, Bar, Benchmark, Check
from contrec.bench.language_model import INPUT_LENGTH
from contrec.data.interactions import Cases, Catalogue
from contrec.language import PROMPTS, PromptBuilder
from contrec.language.backbone import train_text_tokenizer
from contrec.language.prompts import INPUT_MARK, RESPONSE_MARK, ROLE_PLAY_AND_EXAMPLE, Z_END, Z_START

K, TITLE_CHARS, CAP = 3, 50, 20


def benchmark(device: str = "cpu", *, n_prompts: int = 4096) -> Benchmark:
    """Prompts of histories of 20 items with K = 3 from the planted catalogue; always on the CPU.

    Ways: every prompt written as a string, tokenized by itself and padded to 1,024, as in the released code; all
    strings written, then tokenized in one call; the library's gather from ids that were tokenized once.
    """
    split = data.split(*data.load("planted"))
    catalogue = split.catalogue
    tokenizer = train_text_tokenizer([*catalogue.titles, *catalogue.answers], 4096)
    builder = PromptBuilder(tokenizer, catalogue, "Planted", K, CAP, title_chars=TITLE_CHARS)
    rng = np.random.default_rng(0)
    cases = Cases.from_histories([rng.integers(len(catalogue), size=CAP) for _ in range(n_prompts)])
    template = rng.integers(len(PROMPTS), size=n_prompts)
    prefix = ROLE_PLAY_AND_EXAMPLE.format(dataset="Planted") + INPUT_MARK

    def tokenize(texts: list[str]) -> list[list[int]]:
        return tokenizer(texts, add_special_tokens=False)["input_ids"]

    def reference() -> list[np.ndarray]:
        made = []
        for row in range(n_prompts):
            first = tokenize([prefix])[0]
            body = tokenizer(
                written(cases, row, int(template[row]), catalogue), add_special_tokens=False, padding="max_length",
                max_length=INPUT_LENGTH - len(first), truncation=True, return_tensors="np",
            )  # fmt: skip
            made.append(np.concatenate([first, body["input_ids"][0][body["attention_mask"][0] == 1]]))
        return made

    def fair() -> list[np.ndarray]:
        first = tokenize([prefix])[0]
        bodies = tokenize([written(cases, row, int(template[row]), catalogue) for row in range(n_prompts)])
        return [np.concatenate([first, body]) for body in bodies]

    def check(results: dict) -> list[Check]:
        return [
            Check(
                f"prompts of {way} and {OURS} that differ",
                sum(not np.array_equal(a, b) for a, b in zip(results[way], results[OURS].ids, strict=True)),
                0,
            )
            for way in (REFERENCE, FAIR)
        ]

    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one thread, as everything here
    mean = builder.build(cases, template).ids.lengths.mean()
    shape = f"{n_prompts:,} prompts, {CAP} titles each, K = {K}, {mean:.0f} tokens on average"
    ways = {REFERENCE: reference, FAIR: fair, OURS: lambda: builder.build(cases, template)}
    return Benchmark("prompts", shape, ways, check, [Bar(REFERENCE, 200)])


def written(cases: Cases, row: int, template: int, catalogue: Catalogue) -> str:
    """A case's prompt behind the common prefix, as a string with marks where the continuous tokens go."""
    slot = Z_START * (K + 1) + Z_END
    titles = [" ".join(catalogue.titles[item].split())[:TITLE_CHARS] for item in cases.history(row)]
    words = PROMPTS[template].replace("{user}", "user" + slot).replace("{items}", ", ".join(t + slot for t in titles))
    return words + RESPONSE_MARK
