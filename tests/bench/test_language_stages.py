"""The stages around the language model and the diffusion, at small sizes: equal results, checks seen to fail."""

from __future__ import annotations

import pytest
import torch

from contrec.bench import benchmark, run
from contrec.diffusion import samplers
from contrec.language import PromptBuilder, UserModel
from contrec.language import user_model as user_model_module
from contrec.network import Network

SMALL = {
    "train-step": {"lengths": (40, 52, 60), "prefix": 30, "padded": 96},
    "generate": {"n_prompts": 4, "length": 50, "prefix": 20, "new": 12, "facets": 5, "padded": 80, "forced": 16},
    "prompts": {"n_prompts": 32},
    "insert": {"n_prompts": 3, "n_items": 50, "dim": 16, "shown": 4, "padded": 160},
    "sample": {
        "n_users": 3, "n_judged": 60, "n_items": 200, "dim": 16, "width": 64, "n_blocks": 1, "training_steps": 300,
    },
}  # fmt: skip


def outcome(stage):
    return run(benchmark(stage, **SMALL[stage]))


@pytest.mark.parametrize("stage", SMALL)
def test_results_are_equal(stage):
    found = outcome(stage)
    assert found.equal, "\n".join(map(str, found.checks))
    assert found.table["way"].iloc[-1] == "contrec" and (found.table["seconds"] > 0).all()


def test_a_prefix_without_gradient_is_found(monkeypatch):
    def cut(cache):
        return [(layer.keys.detach(), layer.values.detach()) for layer in cache.layers]

    monkeypatch.setattr(user_model_module, "_pairs", cut)
    assert not outcome("train-step").equal


def test_a_loss_at_the_wrong_places_is_found(monkeypatch):
    right = UserModel.answer_loss
    monkeypatch.setattr(UserModel, "answer_loss", lambda self, s, ids, mask: right(self, s.roll(1, 1), ids, mask))
    assert not outcome("train-step").equal


def test_a_wrong_decision_is_found(monkeypatch):
    right = UserModel._advance
    monkeypatch.setattr(UserModel, "_advance", staticmethod(lambda n, row, logits, ids: right(n, row, -logits, ids)))
    assert not outcome("generate").equal


def test_a_lost_item_is_found(monkeypatch):
    right = PromptBuilder.build

    def build(self, cases, template):
        self.history_cap -= 1
        return right(self, cases, template)

    monkeypatch.setattr(PromptBuilder, "build", build)
    assert not outcome("prompts").equal


def test_tokens_of_other_items_are_found(monkeypatch):
    right = Network.tokens
    monkeypatch.setattr(Network, "tokens", lambda self, *arguments: right(self, *arguments).roll(1, 0))
    assert not outcome("insert").equal


def test_a_sampler_that_leaves_its_noise_is_found(monkeypatch):
    right = samplers.ddim_step

    def step(y_t, x0, *rest):
        return right(y_t, x0, *rest) + 2 * torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))

    monkeypatch.setattr(samplers, "ddim_step", step)
    assert not outcome("sample").equal
