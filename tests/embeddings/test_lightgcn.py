from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from contrec.data.interactions import Cases
from contrec.embeddings import Embeddings, make
from contrec.embeddings.lightgcn import Graph, bpr, graph_model, softmax, symmetric_operator
from contrec.relations import interaction_matrix

SMALL = {"dim": 8, "layers": 2, "batch_size": 128, "epochs": 20, "negatives": 16}


@pytest.fixture(scope="module")
def lightgcn(split):
    return make("lightgcn", split, **SMALL)


def dense_propagation(matrix, x, layers):
    """Mean over layers 0..L of (D^-1/2 A D^-1/2)^l x, the formula of the LightGCN paper."""
    n, m = matrix.shape
    graph = np.block([[np.zeros((n, n)), matrix.toarray()], [matrix.T.toarray(), np.zeros((m, m))]])
    degree = np.maximum(graph.sum(1), 1)
    graph = graph / np.sqrt(np.outer(degree, degree))
    return sum(np.linalg.matrix_power(graph, layer) @ x for layer in range(layers + 1)) / (layers + 1)


def test_propagation_is_the_dense_formula(split):
    matrix = interaction_matrix(split.train)
    model = graph_model(sum(matrix.shape), 8, 3, torch.Generator().manual_seed(0))
    ours = model.get_embedding(symmetric_operator(matrix)).detach().numpy()
    assert np.allclose(ours, dense_propagation(matrix, model.embedding.weight.detach().numpy(), 3), atol=1e-6)
    assert model.embedding.weight.std().item() == pytest.approx(0.1, rel=0.1)


def test_propagation_and_gradient_agree_with_pytorch_geometric(split):
    from torch_geometric.nn.models import LightGCN

    matrix = interaction_matrix(split.train)
    n = matrix.shape[0]
    ours = graph_model(sum(matrix.shape), 8, 3, torch.Generator().manual_seed(0))
    theirs = LightGCN(sum(matrix.shape), 8, 3)
    theirs.load_state_dict(ours.state_dict())
    user, item = matrix.nonzero()
    edges = torch.from_numpy(np.stack([np.r_[user, item + n], np.r_[item + n, user]]).astype(np.int64))
    weight = torch.randn(sum(matrix.shape), 8, generator=torch.Generator().manual_seed(1))
    for model, graph in ((ours, symmetric_operator(matrix)), (theirs, edges)):
        (model.get_embedding(graph) * weight).sum().backward()
    assert torch.allclose(ours.get_embedding(symmetric_operator(matrix)), theirs.get_embedding(edges), atol=1e-6)
    assert torch.allclose(ours.embedding.weight.grad, theirs.embedding.weight.grad, atol=1e-6)


def test_user_is_one_propagation_of_the_visible_history(lightgcn, split):
    history = split.test.history(5)
    degree = np.maximum(np.bincount(split.train.item, minlength=split.n_items), 1)
    expected = sum(lightgcn.items[i] / np.sqrt(degree[i] * len(history)) for i in history)
    assert torch.allclose(lightgcn.users(split.test)[5], expected, atol=1e-5)


def test_user_vector_reads_the_history_only(lightgcn, split):
    other = replace(split.test, target=np.roll(split.test.target, 1), user=np.full(len(split.test), -1))
    assert torch.equal(lightgcn.users(split.test), lightgcn.users(other))
    assert torch.equal(lightgcn.users(Cases.from_histories([[]])), torch.zeros(1, 8))


def test_unit_variance_per_dimension_over_train_items(lightgcn, split):
    known = np.unique(split.train.item)
    assert torch.allclose(lightgcn.items[known].std(0), torch.ones(8), atol=1e-4)


def test_standardising_only_scales_each_dimension(split, lightgcn):
    raw = make("lightgcn", split, standardise=False, **SMALL)
    ratio = lightgcn.items / raw.items
    assert torch.allclose(ratio, ratio[:1].expand_as(ratio), rtol=1e-3)


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_training_finds_the_planted_tastes(split, loss):
    """Items of one taste come to lie together: chance is 9 others of 39, so .23 of the nearest neighbours."""
    embeddings = make("lightgcn", split, loss=loss, **SMALL | {"lr": 0.03})
    unit = torch.nn.functional.normalize(embeddings.items - embeddings.items.mean(0), dim=1)
    nearest = (unit @ unit.T - 2 * torch.eye(len(unit))).argmax(1).numpy()
    assert (nearest % 4 == np.arange(len(unit)) % 4).mean() > 0.6


def test_losses_by_hand():
    u, i, j = torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 1.0]]), torch.tensor([[0.0, 3.0]])
    assert bpr(u, i, j).item() == pytest.approx(np.log1p(np.exp(-2.0)))
    cosine = 2 / np.sqrt(5)
    numbers = torch.tensor([4]), torch.tensor([7])
    assert softmax(u, i, j, *numbers, 0.5).item() == pytest.approx(np.log1p(np.exp((0 - cosine) / 0.5)), rel=1e-5)
    own = torch.tensor([4])
    assert softmax(u, i, i, own, own, 0.5).item() == pytest.approx(0)  # the own item is no negative


def one_batch(matrix, negatives):
    user, item = (torch.from_numpy(x[:6].astype(np.int64)) for x in matrix.nonzero())
    return user, item, torch.arange(30, 30 + negatives)


def test_the_objective_is_that_of_pytorch_geometric(split):
    """Its regulariser, of which the paper's code has half, takes user, item and negative alike."""
    matrix, weight = interaction_matrix(split.train), 0.3
    ours = Graph(matrix, 8, 2, 0, "bpr", 0.15, weight)
    user, item, negative = one_batch(matrix, 6)
    users, items = ours.vectors()
    n = len(users)
    nodes = torch.cat([user, item + n, negative + n])
    ranks = ((users[user] * items[other]).sum(1) for other in (item, negative))
    theirs = ours.model.recommendation_loss(*ranks, node_id=nodes, lambda_reg=weight / 2)
    torch.testing.assert_close(ours((user, item, negative))["total"], theirs)


@pytest.mark.parametrize(("loss", "negatives"), [("bpr", 6), ("softmax", 9)])
def test_every_vector_of_the_batch_is_kept_short(split, loss, negatives):
    matrix = interaction_matrix(split.train)
    user, item, negative = batch = one_batch(matrix, negatives)
    plain, weighed = (Graph(matrix, 8, 2, 0, loss, 0.15, weight)(batch)["total"] for weight in (0.0, 0.5))
    rows = Graph(matrix, 8, 2, 0, loss, 0.15, 0.0).model.embedding.weight
    lengths = sum(rows[part].square().sum() for part in (user, item + matrix.shape[0], negative + matrix.shape[0]))
    torch.testing.assert_close(weighed - plain, 0.5 * lengths / (2 * len(user)))


def test_held_out_rows_change_nothing(split):
    """Test targets reach nothing; validation targets may only choose the epoch."""
    changed = replace(split, test=replace(split.test, target=np.roll(split.test.target, 1)))
    one, two = (make("lightgcn", s, **SMALL | {"epochs": 4}) for s in (split, changed))
    assert torch.equal(one.items, two.items)


def test_state_round_trip_is_exact(lightgcn, split):
    tensors, settings = lightgcn.state()
    back = Embeddings.from_state(tensors, settings)
    assert torch.equal(back.items, lightgcn.items) and torch.equal(back.users(split.test), lightgcn.users(split.test))
    assert back.state()[1] == settings and settings["kind"] == "lightgcn"


def test_bad_settings_are_named(split):
    for setting in ({"loss": "hinge"}, {"layers": 0}, {"lr": 0.0}, {"temperature": 0.0}, {"weight_decay": -1.0}):
        with pytest.raises(ValueError, match=next(iter(setting))):
            make("lightgcn", split, **setting)


def test_nothing_is_left_in_the_temporary_folder(split, monkeypatch):
    """PyTorch Geometric's own convolution writes its code there, once a process: a test would see it once."""
    monkeypatch.setattr("torch_geometric.nn.models.lightgcn.LGConv", lambda **_: pytest.fail("a file is written"))
    make("lightgcn", split, dim=4, epochs=1)
