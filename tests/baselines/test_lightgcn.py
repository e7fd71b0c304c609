from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from contrec.baselines import LightGCN, make
from contrec.data.interactions import Cases, Catalogue, Interactions, Split
from contrec.embeddings.lightgcn import graph_model, symmetric_operator
from contrec.evaluation import evaluate

SMALL = {"dim": 16, "layers": 2, "epochs": 12, "batch_size": 256}
N_ITEMS = 40


@pytest.fixture(scope="module")
def split():
    """Two circles of friends: even users take items 0..19, odd users 20..39."""
    rng = np.random.default_rng(0)
    sequences = [20 * (u % 2) + rng.permutation(20)[:10] for u in range(100)]
    names = np.arange(100).astype(str), np.arange(N_ITEMS).astype(str)
    user, position = np.repeat(np.arange(100), 8), np.tile(np.arange(8), 100)
    train = Interactions(user, np.concatenate([s[:8] for s in sequences]), position, *names)
    items, start, users = np.concatenate(sequences), 10 * np.arange(100), np.arange(100)
    validation, test = (Cases(items, start, start + k, users, items[start + k], users) for k in (8, 9))
    catalogue = Catalogue(names[1], tuple(names[1]), ("",) * N_ITEMS, ((),) * N_ITEMS)
    return Split(train, validation, validation, test, catalogue, "leave_one_out", {})


@pytest.fixture(scope="module")
def fitted(split):
    return {loss: LightGCN(loss, **SMALL).fit(split) for loss in ("bpr", "softmax")}


def test_propagation_is_pygs_and_the_dense_formula():
    conv = pytest.importorskip("torch_geometric.nn").LGConv()
    rng = np.random.default_rng(1)
    x = (rng.random((7, 5)) < 0.4).astype(np.float32)
    x[0], x[:, 0] = 0, 0  # a user and an item without an edge
    adjacency = np.block([[np.zeros((7, 7)), x], [x.T, np.zeros((5, 5))]])
    degree = np.maximum(adjacency.sum(1), 1)
    step = torch.tensor(adjacency / np.sqrt(np.outer(degree, degree)), dtype=torch.float32)
    model = graph_model(12, 4, 3, torch.Generator().manual_seed(0))
    layer_0 = model.embedding.weight.detach()
    dense = sum(torch.linalg.matrix_power(step, k) @ layer_0 for k in range(4)) / 4
    edges = torch.from_numpy(np.stack(np.nonzero(adjacency)))
    layers = [layer_0]
    for _ in range(3):
        layers.append(conv(layers[-1], edges))
    ours = model.get_embedding(symmetric_operator(csr_matrix(x))).detach()
    assert ours.numpy() == pytest.approx(dense.numpy(), abs=1e-6)
    assert ours.numpy() == pytest.approx(torch.stack(layers).mean(0).numpy(), abs=1e-6)


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_planted_groups_are_found(split, fitted, loss):
    # ten unseen items of the own group and twenty of the other: chance is about 1/3, knowing the group gives 10 of 11
    assert evaluate(fitted[loss], split.test).metrics()["HR@10"] > 0.75
    assert evaluate(make("popularity").fit(split), split.test).metrics()["HR@10"] < 0.6


def test_users_are_folded_in_from_the_visible_history(split, fitted):
    model = fitted["bpr"]
    histories = [split.test.history(i) for i in range(len(split.test))]
    stranger = Cases.from_histories(histories)
    assert np.allclose(model.score(stranger), model.score(split.test), atol=1e-6)
    moved = replace(split.test, target=(split.test.target + 1) % N_ITEMS)
    assert np.array_equal(model.score(moved), model.score(split.test))  # the target is not read
    group = model.score(Cases.from_histories([[1, 2, 3], [21, 22]]))
    assert (group.argmax(1) // 20).tolist() == [0, 1]


def test_test_rows_reach_no_parameter(split, fitted):
    other = replace(
        split, test=replace(split.test, items=(split.test.items + 7) % N_ITEMS, target=split.test.target * 0)
    )
    again = LightGCN("bpr", **SMALL).fit(other)
    assert torch.equal(again.embeddings.items, fitted["bpr"].embeddings.items)
    assert not torch.equal(LightGCN("bpr", **SMALL).fit(split, seed=1).embeddings.items, again.embeddings.items)


def test_cosine_drops_length_and_inner_product_keeps_it(fitted):
    cases = Cases.from_histories([[1, 2, 3]])
    model = fitted["bpr"]
    assert model.score_by == "inner" and fitted["softmax"].score_by == "cosine"
    items = model.embeddings.items
    user = model.embeddings.users(cases)
    assert model.score(cases) == pytest.approx((user @ items.T).numpy(), abs=1e-6)
    by_cosine = make("lightgcn", score_by="cosine")
    by_cosine.embeddings = model.embeddings
    expected = torch.cosine_similarity(user, items).numpy()[None]
    assert by_cosine.score(cases) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("settings", [{"loss": "hinge"}, {"score_by": "euclidean"}])
def test_wrong_settings_are_told(settings):
    with pytest.raises(ValueError, match="must be one of"):
        LightGCN(**settings)
