from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contrec.retriever import FacetIndex, _slack, hybrid_scores, hybrid_topk


def world(n_users, n_items, dim, *, seed=0, n_answers=6, exact=False):
    """Vectors, facets (several an item), named answers (-1: none) and seen items; ``exact``: no rounding, many ties."""
    rng = np.random.default_rng(seed)
    if exact:  # entries +-1 in a width that is a power of 4: lengths and dot products are exact, so ties are real ties
        y, items = (torch.tensor(rng.choice([-1.0, 1.0], size=(n, dim))) for n in (n_users, n_items))
    else:
        y, items = (torch.tensor(rng.normal(size=(n, dim))) for n in (n_users, n_items))
    answers = tuple(f"a{i}" for i in range(n_answers))
    facets = [tuple(a for a in (*answers, "rare") if rng.random() < 0.2) for _ in range(n_items)]
    facet = rng.integers(-1, n_answers, size=n_users)
    seen = [rng.choice(n_items, size=rng.integers(0, n_items // 4 + 1)) for _ in range(n_users)]
    match = torch.tensor(
        [[f >= 0 and answers[f] in facets[j] for j in range(n_items)] for f in facet], dtype=torch.bool
    ).reshape(n_users, n_items)
    csr = (np.cumsum([0, *map(len, seen)]), np.concatenate([*seen, np.zeros(0, int)]).astype(np.int64))
    return y.float(), items.float(), facet, FacetIndex.build(facets, answers), csr, seen, match


def brute_force(y, items, k, match, seen, text_bonus):
    """Eq. (22) over everything in float64; equal scores (12 decimals) by item id."""
    score = hybrid_scores(y.double(), items.double(), match, text_bonus).numpy().copy()
    for row, gone in enumerate(seen):
        score[row, gone] = -np.inf
    order = np.argsort(-np.round(score, 12), axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(score, order, axis=1)


@settings(max_examples=60, deadline=None)
@given(
    n_users=st.integers(1, 9),
    n_items=st.integers(8, 150),
    k=st.integers(1, 6),
    chunk=st.integers(1, 200),
    text_bonus=st.sampled_from([0.0, 0.05, 0.1, 1.0]),
    exact=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_equals_float64_brute_force(n_users, n_items, k, chunk, text_bonus, exact, seed):
    y, items, facet, index, csr, seen, match = world(n_users, n_items, 16, seed=seed, exact=exact)
    found = hybrid_topk(y, items, k, facet=facet, facet_items=index, seen=csr, text_bonus=text_bonus, chunk=chunk)
    ids, score = brute_force(y, items, k, match, seen, text_bonus)
    assert np.array_equal(found.ids.numpy(), ids)
    np.testing.assert_allclose(found.score.numpy(), score, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("text_bonus", [0.05, 1.0])
def test_equals_brute_force_at_size(text_bonus):
    y, items, facet, index, csr, seen, match = world(40, 6000, 64)
    known = {"facet": facet, "facet_items": index, "seen": csr}
    ids = hybrid_topk(y, items, 20, text_bonus=text_bonus, chunk=1000, **known).ids.numpy()
    assert np.array_equal(ids, brute_force(y, items, 20, match, seen, text_bonus)[0])


def test_many_exact_ties_go_to_the_smaller_id():
    # 900 copies of 4 directions in 4 lengths: more ties than spare candidates, over all chunks, equal up to rounding
    rng = torch.Generator().manual_seed(0)
    y, few = torch.randn(5, 8, generator=rng), torch.randint(-4, 5, (4, 8), generator=rng).float()
    lengths = torch.tensor([1.0, 3.0, 5.0, 7.0])[torch.randint(4, (900, 1), generator=rng)]
    items = few[torch.randint(4, (900,), generator=rng)] * lengths
    seen = [np.arange(row, 900, 7) for row in range(5)]
    csr = (np.cumsum([0, *map(len, seen)]), np.concatenate(seen))
    ids = hybrid_topk(y, items, 40, seen=csr, chunk=128).ids.numpy()
    assert np.array_equal(ids, brute_force(y, items, 40, None, seen, 0.05)[0])


def test_vectors_closer_than_float32_can_tell_are_ranked_by_float64():
    y = torch.tensor([[1.0, 0.0]])
    angle = torch.linspace(2e-4, 1e-4, 400, dtype=torch.float64)  # worst first; neighbours differ by about 4e-11
    items = torch.stack([angle.cos(), angle.sin()], dim=1).float()
    assert items.float().unique(dim=0).shape[0] == 400
    ids = hybrid_topk(y, items, 10, chunk=64).ids.numpy()
    assert np.array_equal(ids, brute_force(y, items, 10, None, [[]], 0.0)[0])
    assert ids[0, 0] == 399


def test_hand_calculation_of_eq_22():
    items = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0], [-1.0, 0.0]])
    y = torch.tensor([[2.0, 0.0]])
    match = torch.tensor([[False, True, True, True]])
    expected = [[1.0, 0.6 * 1.1, 0.0, -1.1]]  # a negative cosine falls further: the factor is taken literally
    torch.testing.assert_close(hybrid_scores(y, items, match, 0.1), torch.tensor(expected))
    index = FacetIndex.build([(), ("x",), ("x",), ("y", "x")], ("x", "y"))
    found = hybrid_topk(y, items, 4, facet=[0], facet_items=index, text_bonus=0.1)
    assert found.ids.tolist() == [[0, 1, 2, 3]]
    torch.testing.assert_close(found.score, torch.tensor(expected))
    torch.testing.assert_close(found.cosine, torch.tensor([[1.0, 0.6, 0.0, -1.0]]))
    torch.testing.assert_close(found.bonus, torch.tensor([[0.0, 0.1, 0.1, 0.1]]))


def test_bonus_lifts_a_matching_item_over_a_nearer_one():
    items = torch.tensor([[1.0, 0.20], [1.0, 0.25]])
    y, index = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), FacetIndex.build([(), ("x",)], ("x",))
    assert hybrid_topk(y, items, 1, facet=[0, -1], facet_items=index).ids.tolist() == [[1], [0]]
    assert hybrid_topk(y, items, 1, facet=[0, -1], facet_items=index, text_bonus=0.0).ids.tolist() == [[0], [0]]


def test_users_and_the_order_of_users_do_not_matter():
    y, items, facet, index, csr, seen, _ = world(12, 300, 16)
    whole = hybrid_topk(y, items, 5, facet=facet, facet_items=index, seen=csr).ids
    for row in range(12):
        one = (np.array([0, len(seen[row])]), seen[row])
        part = hybrid_topk(y[row : row + 1], items, 5, facet=facet[row : row + 1], facet_items=index, seen=one)
        assert torch.equal(part.ids[0], whole[row])


def test_seen_items_never_return_even_when_nothing_else_is_near():
    items = torch.cat([torch.ones(5, 4), -torch.ones(3, 4)])
    seen = (np.array([0, 7]), np.array([4, 3, 2, 1, 0, 0, 4]))  # repeats are allowed
    assert hybrid_topk(torch.ones(1, 4), items, 3, seen=seen).ids.tolist() == [[5, 6, 7]]
    with pytest.raises(ValueError, match="row 0 has 3, got 4"):
        hybrid_topk(torch.ones(1, 4), items, 4, seen=seen)


def test_a_vector_of_length_zero_scores_zero():
    found = hybrid_topk(torch.zeros(1, 3), torch.randn(60, 3), 4)
    assert found.ids.tolist() == [[0, 1, 2, 3]] and found.score.abs().max() == 0


def test_no_users_is_no_error():
    assert hybrid_topk(torch.zeros(0, 3), torch.randn(60, 3), 4).ids.shape == (0, 4)


def test_facet_index_keeps_values_of_the_closed_set():
    index = FacetIndex.build([("b", "a"), (), ("a", "a"), ("other",)], ("a", "b", "c"))
    assert index.indptr.tolist() == [0, 2, 3, 3] and index.items.tolist() == [0, 2, 0]


def test_bad_input_is_named():
    y, items = torch.ones(2, 3), torch.randn(9, 3)
    index = FacetIndex.build([("x",)] * 9, ("x",))
    with pytest.raises(ValueError, match="k must be at most the number of unseen items: row 0 has 9, got 10"):
        hybrid_topk(y, items, 10)
    with pytest.raises(ValueError, match="facet needs facet_items"):
        hybrid_topk(y, items, 1, facet=[0, 0])
    with pytest.raises(ValueError, match=r"facet must lie in \[-1, 0\], got 1"):
        hybrid_topk(y, items, 1, facet=[0, 1], facet_items=index)
    with pytest.raises(ValueError, match=r"item id in seen must lie in \[0, 8\], got 9"):
        hybrid_topk(y, items, 1, seen=([0, 1, 1], [9]))
    with pytest.raises(ValueError, match="seen must be CSR"):
        hybrid_topk(y, items, 1, seen=([0, 1], [3]))
    with pytest.raises(ValueError, match="y must be finite"):
        hybrid_topk(y * float("nan"), items, 1)
    with pytest.raises(ValueError, match="items must be finite"):
        hybrid_topk(y, items / 0, 1)
    with pytest.raises(ValueError, match="text_bonus must lie in"):
        hybrid_topk(y, items, 1, text_bonus=-0.1)
    with pytest.raises(ValueError, match="must have shapes"):
        hybrid_topk(y, items[:, :2], 1)


def test_a_facet_matches_the_items_that_have_it():
    index = FacetIndex.build([("a",), ("b", "a", "other"), ()], ("a", "b"))
    expected = [[False, True, False], [False, False, False], [True, True, False]]
    assert index.match(np.array([1, -1, 0]), 3).tolist() == expected


def test_a_catalogue_without_items_leaves_nobody_anything():
    with pytest.raises(ValueError, match="row 0 has 0, got 1"):
        hybrid_topk(torch.ones(3, 4), torch.ones(0, 4), 1)


def test_products_shortened_to_eight_bits_stay_within_the_slack(monkeypatch):
    # 63 entries half a unit above what eight bits hold, and the rest of the length in a 64th: all are rounded down
    u = torch.full((64,), 0.125 * (1 + 2**-8), dtype=torch.float64)
    u[63] = (1 - u[:63].square().sum()).sqrt()
    short = u.bfloat16().double()
    error = abs(float(short @ short) - 1)
    for precision in ("high", "medium"):
        monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda precision=precision: precision)
        assert error < _slack(64, 0.0) < 1.1 * error  # else near ties are lost, or everything is ranked twice
    assert _slack(64, 0.5) == 1.5 * _slack(64, 0.0)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "highest")
    # unit roundoff times d for the sum, d / 2 for each of two lengths, and a few single operations
    assert (2 * 64 + 6) * 2**-24 < _slack(64, 0.0) < 1e-5


def test_what_does_not_fit_is_named_on_either_side():
    y, items, index = torch.ones(2, 3), torch.randn(9, 3), FacetIndex.build([("x",)] * 9, ("x",))
    for a, b in ((y[:, :2], items), (y[0], items), (y[..., None], items), (y, items[..., None])):
        with pytest.raises(ValueError, match="must have shapes"):
            hybrid_topk(a, b, 1)
    with pytest.raises(ValueError, match=r"facet must have shape \(2,\), got \(1,\)"):
        hybrid_topk(y, items, 1, facet=[0], facet_items=index)
    for indptr in ([0, 2, 1], [0, 1, 3], [1, 1, 1]):  # goes down, ends beyond the ids, begins after 0
        with pytest.raises(ValueError, match="seen must be CSR: indptr of length 3"):
            hybrid_topk(y, items, 1, seen=(indptr, [3]))
    for ids in ([0, 9], [-1, 8]):
        with pytest.raises(ValueError, match=r"item id in seen must lie in \[0, 8\]"):
            hybrid_topk(y, items, 1, seen=([0, 2, 2], ids))
    with pytest.raises(ValueError, match="text_bonus must lie in"):
        hybrid_scores(y, items, None, -0.5)
    assert hybrid_topk(y, items, 8, seen=([0, 1, 1], [0])).ids[0].min() > 0  # the first item is an item like any


def test_items_and_users_of_any_length_in_small_parts():
    """Lengths from a thousandth to a thousand, more users than candidates are kept, and parts smaller than these."""
    y, items, facet, index, csr, seen, match = world(300, 400, 16)
    scale = 10 ** torch.linspace(-3, 3, 400)[torch.randperm(400, generator=torch.Generator().manual_seed(1))]
    y, items = y.requires_grad_(), items * scale[:, None]
    known = {"facet": facet, "facet_items": index, "seen": csr}
    found = hybrid_topk(y, items, 1, text_bonus=0.05, chunk=20, **known)
    assert np.array_equal(found.ids.numpy(), brute_force(y.detach(), items, 1, match, seen, 0.05)[0])
    assert not found.score.requires_grad  # nothing is kept for a gradient
