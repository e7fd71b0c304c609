import numpy as np
import pytest

from contrec.baselines.puresvd import PureSVD
from contrec.data.interactions import Cases
from contrec.relations import interaction_matrix


def test_scores_are_those_of_the_full_svd(planted_split):
    dense = interaction_matrix(planted_split.train).toarray()
    right = np.linalg.svd(dense, full_matrices=False)[2][:8]
    model = PureSVD(dim=8).fit(planted_split)
    cases = planted_split.test
    shown = cases.history_matrix(planted_split.n_items).toarray()
    assert model.score(cases) == pytest.approx(shown @ right.T @ right, abs=1e-4)
    parts = [model.score(cases.select(slice(k, k + 1))) for k in range(len(cases))]
    assert np.concatenate(parts) == pytest.approx(model.score(cases), abs=1e-6)


def test_strangers_and_fits_repeat(planted_split):
    model = PureSVD(dim=8).fit(planted_split)
    cases = planted_split.test
    stranger = Cases.from_histories([cases.history(i) for i in range(len(cases))] + [[]])
    assert np.array_equal(model.score(stranger)[:-1], model.score(cases))
    assert not model.score(stranger)[-1].any()
    assert np.array_equal(PureSVD(dim=8).fit(planted_split, seed=5).score(cases), model.score(cases))


def test_wrong_settings_are_told(planted_split):
    with pytest.raises(ValueError, match="dim must be a whole number"):
        PureSVD(dim=0)
    with pytest.raises(ValueError, match="dim must be less than the smaller of users and items, 64, got 64"):
        PureSVD(dim=64).fit(planted_split)
