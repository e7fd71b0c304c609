from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from contrec.baselines.graph import GraphModel, Nodes, Triples
from contrec.baselines.gtn import GTN, TrendFilter, incidence
from contrec.baselines.ltgnn import LTGNN, PageRank
from contrec.baselines.mf import MF
from contrec.baselines.popularity import Popularity
from contrec.data.interactions import Cases, Catalogue, Interactions, Split
from contrec.embeddings.lightgcn import LightGCNEmbeddings, symmetric_operator
from contrec.evaluation import evaluate

SMALL = {"dim": 16, "epochs": 12, "batch_size": 256, "lr": 0.02}
MODELS = {"mf": MF, "gtn": GTN, "ltgnn": LTGNN}
N_USERS, N_ITEMS = 101, 41  # the first user has no train row, and the last item none at all


@pytest.fixture(scope="module")
def split():
    """Two circles of friends: even users take items 0..19, odd users 20..39."""
    rng = np.random.default_rng(0)
    sequences = [20 * (u % 2) + rng.permutation(20)[:10] for u in range(N_USERS)]
    names = np.arange(N_USERS).astype(str), np.arange(N_ITEMS).astype(str)
    user, position = np.repeat(np.arange(1, N_USERS), 8), np.tile(np.arange(8), 100)
    train = Interactions(user, np.concatenate([s[:8] for s in sequences[1:]]), position, *names)
    items, start, users = np.concatenate(sequences), 10 * np.arange(N_USERS), np.arange(N_USERS)
    validation, test = (Cases(items, start, start + k, users, items[start + k], users) for k in (8, 9))
    catalogue = Catalogue(names[1], tuple(names[1]), ("",) * N_ITEMS, ((),) * N_ITEMS)
    return Split(train, validation, validation, test, catalogue, "leave_one_out", {})


@pytest.fixture(scope="module")
def fitted(split):
    return {name: model(**SMALL).fit(split) for name, model in MODELS.items()}


@pytest.fixture(params=MODELS)
def model(request, fitted):
    return fitted[request.param]


@pytest.fixture
def toy():
    """A connected train matrix of 4 users and 5 items, and a table for it."""
    matrix = csr_matrix(np.array([[1, 1, 0, 0, 0], [0, 1, 1, 0, 1], [1, 0, 1, 1, 0], [0, 0, 0, 1, 1]], np.float32))
    return matrix, torch.from_numpy(np.random.default_rng(2).normal(size=(9, 3)).astype(np.float32))


def test_planted_groups_are_found(split, model):
    # ten unseen items of the own group and twenty of the other: chance is about 1/3, knowing the group gives 10 of 11
    for users in ("learned", "history"):
        assert evaluate(with_users(model, users), split.test).metrics()["HR@10"] > 0.75
    assert evaluate(Popularity().fit(split), split.test).metrics()["HR@10"] < 0.6


def test_scores_do_not_depend_on_the_batch_and_read_no_target(split, model):
    cases = split.test
    whole = model.score(cases)
    parts = torch.cat([model.score(cases.select(slice(k, k + 7))) for k in range(0, len(cases), 7)])
    assert torch.allclose(parts, whole, atol=1e-5)
    assert torch.equal(model.score(replace(cases, target=(cases.target + 1) % N_ITEMS)), whole)
    assert torch.isfinite(whole).all()  # of the cold item too


def test_strangers_and_users_without_train_rows_are_made_from_their_history(split, model):
    cases = split.test
    stranger = model.score(replace(cases, user=np.full(len(cases), -1)))
    learned, history = (with_users(model, users).score(cases) for users in ("learned", "history"))
    assert torch.equal(stranger, history)
    assert torch.equal(learned[0], history[0])
    assert not torch.isclose(learned[1:], history[1:]).all(1).any()
    group = model.score(Cases.from_histories([[1, 2, 3], [21, 22], [], [5, N_ITEMS - 1]]))
    assert torch.isfinite(group).all()  # of a history with the cold item too
    assert (group[:2].argmax(1) // 20).tolist() == [0, 1]
    assert not group[2].any()


def test_learned_users_are_their_nodes_and_fold_in_is_lightgcns(split, fitted):
    model = fitted["ltgnn"]
    vectors = model.module.propagation(model.module.table.weight).detach()
    expected = vectors[split.test.user[1:]] @ vectors[N_USERS:].T
    assert torch.allclose(model.score(split.test)[1:], expected, atol=1e-5)
    degrees = torch.from_numpy(np.bincount(split.train.item, minlength=N_ITEMS)).clamp_min(1)
    users = LightGCNEmbeddings(vectors[N_USERS:], degrees, {}).users(split.test)
    assert torch.allclose(with_users(model, "history").score(split.test), users @ vectors[N_USERS:].T, atol=1e-5)


def test_mf_fold_in_is_bprs_gradient_at_zero(fitted):
    items = fitted["mf"].module.vectors()[1]
    user = torch.zeros(16, requires_grad=True)
    against_all = torch.nn.functional.logsigmoid((items[[3, 8]][:, None] - items[None]) @ user)
    against_all.mean(1).sum().backward()
    folded = fitted["mf"].fold_in(Cases.from_histories([[3, 8]]), items)[0]
    assert torch.allclose(folded, 2 * user.grad, atol=1e-5)  # the sigmoid's slope at 0 is 1/2


def test_vectors_are_computed_once_for_each_evaluation_and_are_those_of_the_best_epoch(split):
    calls = []

    class Counting(torch.nn.Module):
        def forward(self, x):
            calls.append(torch.is_grad_enabled())
            return 2 * x

    class Doubled(MF):
        def propagation(self, matrix):
            return Counting()

    model = Doubled(**{**SMALL, "epochs": 30, "patience": 3, "lr": 0.5}).fit(split)
    best = [row["epoch"] for row in model.history if row["best"]][-1]
    assert best < len(model.history)  # otherwise nothing was put back
    assert calls.count(False) == len(model.history)
    for start in range(0, len(split.test), 20):
        model.score(split.test.select(slice(start, start + 20)))
    assert calls.count(False) == len(model.history) + 1
    users, items = model.module.vectors()
    assert not items.requires_grad
    assert torch.equal(torch.cat([users, items]), 2 * model.module.table.weight.detach())
    assert evaluate(model, split.validation).metrics()["NDCG@10"] == model.history[best - 1]["validation"]


def test_loss_is_bpr_and_the_length_of_all_three_rows():
    module = Nodes(torch.nn.Identity(), 2, 3, 4, l2=0.5)
    x = module.table.weight.detach()
    batch = Triples(torch.tensor([1, 0]), torch.tensor([0, 2]), torch.tensor([2, 1]))
    u, i, n = x[[1, 0]], x[[2, 4]], x[[4, 3]]
    expected = -torch.log(torch.sigmoid((u * i).sum(1) - (u * n).sum(1))).mean()
    expected = expected + 0.5 * sum((v**2).sum() for v in (u, i, n)) / 4
    assert module(batch)["total"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_an_epoch_shows_each_train_row_once_with_uniform_negatives(split, fitted):
    batches = fitted["mf"].batches(np.random.default_rng(0))
    assert [len(b.user) for b in batches] == [256, 256, 256, 32]
    shown = torch.cat([torch.stack([b.user, b.item]) for b in batches], dim=1).T.tolist()
    assert sorted(map(tuple, shown)) == sorted(zip(split.train.user.tolist(), split.train.item.tolist()))
    assert set(torch.cat([b.negative for b in batches]).tolist()) == set(range(N_ITEMS))


def test_incidence_gives_the_normalised_laplacian(toy):
    matrix, _ = toy
    laplacian = np.eye(9) - symmetric_operator(matrix).to_dense().numpy()
    d = incidence(matrix)
    assert (d.T @ d).toarray() == pytest.approx(laplacian, abs=1e-6)
    assert d.getrow(0).toarray()[0, [0, 4]] == pytest.approx([2**-0.5, -(2**-0.5)])  # user 0 and item 0, two rows each


def test_trend_filter_reaches_the_minimum_of_the_l1_problem(toy):
    matrix, table = toy
    x, d, smoothness = table[:, 0].double().numpy(), incidence(matrix).toarray().astype(float), 0.3

    def objective(f):
        return 0.5 * np.square(f - x).sum() + smoothness * np.abs(d @ f).sum()

    # the same problem with bounds |D f| <= t, for a solver that knows nothing of duals
    bounds = [{"type": "ineq", "fun": lambda v, sign=sign: v[9:] + sign * d @ v[:9]} for sign in (1, -1)]
    reference = minimize(
        lambda v: 0.5 * np.square(v[:9] - x).sum() + smoothness * v[9:].sum(),
        np.concatenate([x, np.abs(d @ x)]), constraints=bounds, method="SLSQP", options={"maxiter": 500, "ftol": 1e-12},
    )  # fmt: skip
    found = TrendFilter(incidence(matrix), smoothness, steps=2000)(table[:, :1]).numpy().ravel()
    assert objective(found) == pytest.approx(reference.fun, abs=1e-5)
    assert objective(found) < objective(x) - 0.1
    vanished = np.abs(d @ found) < 1e-5
    assert 0 < vanished.sum() < len(d)  # l1: some differences are gone, others stay


def test_trend_filter_at_its_ends(toy):
    matrix, x = toy
    assert torch.equal(TrendFilter(incidence(matrix), 0.0, steps=3)(x), x)
    # nothing is clamped: (I - L / 2)^3, a linear low pass
    half = (torch.eye(9) + symmetric_operator(matrix).to_dense()) / 2
    assert torch.allclose(TrendFilter(incidence(matrix), 100.0, steps=3)(x), half @ half @ half @ x, atol=1e-6)
    # after many steps only what the nodes of a connected graph share is left: f_v / sqrt(d_v) is one value
    smooth = TrendFilter(incidence(matrix), 1e4, steps=500)(x)
    degree = torch.tensor([2, 3, 3, 2, 2, 2, 2, 2, 2]).sqrt()[:, None]
    assert torch.allclose(smooth, degree * (degree * x).sum(0) / degree.square().sum(), atol=1e-4)


def test_trend_filters_gradient_and_dropout(toy):
    matrix, x = toy
    module = TrendFilter(incidence(matrix), 0.3, steps=3)
    x.requires_grad_()
    weights = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    (weights * module(x)).sum().backward()
    d, f, z = torch.from_numpy(incidence(matrix).toarray()), x, torch.zeros(10, 3)
    for _ in range(3):
        z = (z + 0.5 * d @ f).clamp(-0.3, 0.3)
        f = x - d.T @ z
    assert torch.allclose(x.grad, torch.autograd.grad((weights * f).sum(), x)[0], atol=1e-6)
    dropping = TrendFilter(incidence(matrix), 0.3, steps=3, dropout=0.5)
    kept = dropping(x) != 0
    assert torch.allclose(dropping.eval()(x), f) and 0 < kept.sum() < 27


def test_page_rank_and_its_gradient_are_the_linear_solve(toy):
    matrix, x = toy
    operator = symmetric_operator(matrix)
    x = x.requires_grad_()
    weights = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    z = PageRank(operator, 0.45)(x)
    dense = torch.linalg.solve(torch.eye(9) - 0.55 * operator.to_dense(), 0.45 * x)
    assert torch.allclose(z, dense, atol=3e-3)
    expected = torch.autograd.grad((weights * dense).sum(), x)[0]
    assert torch.allclose(torch.autograd.grad((weights * z).sum(), x)[0], expected, atol=3e-3)
    assert torch.equal(PageRank(operator, 1.0)(x), x)


def test_page_rank_is_pygs_appnp(toy):
    matrix, x = toy
    ours = PageRank(symmetric_operator(matrix), 0.45)
    appnp = pytest.importorskip("torch_geometric.nn").APPNP(ours.steps, 0.45, add_self_loops=False)
    edges = torch.from_numpy(np.stack(symmetric_operator(matrix).to_dense().numpy().nonzero()))
    assert torch.allclose(ours(x), appnp(x, edges), atol=1e-6)


def test_fits_repeat_and_test_rows_reach_no_parameter(split, fitted):
    test = replace(split.test, items=(split.test.items + 7) % N_ITEMS, target=split.test.target * 0)
    again = GTN(**SMALL).fit(replace(split, test=test))
    assert torch.equal(again.module.table.weight, fitted["gtn"].module.table.weight)
    assert not torch.equal(GTN(**SMALL).fit(split, seed=1).module.table.weight, again.module.table.weight)


@pytest.mark.parametrize("model", MODELS.values())
def test_wrong_settings_are_told(model):
    for name, value in {"users": "both", "dim": 0, "l2": -1.0}.items():
        with pytest.raises(ValueError, match=f"{name} must"):
            model(**{name: value})
    for other, name, value in (
        (GTN, "dropout", 1.5),
        (GTN, "smoothness", -1),
        (GTN, "steps", 0),
        (LTGNN, "restart", 0),
    ):
        with pytest.raises(ValueError, match=f"{name} must"):
            other(**{name: value})


def with_users(model: GraphModel, users: str) -> GraphModel:
    """The fitted model with another kind of user vectors."""
    other = type(model)(**SMALL, users=users)
    other.__dict__ = {**model.__dict__, "users": users}
    return other
