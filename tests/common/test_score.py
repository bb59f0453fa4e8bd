"""The competition's score against values worked out by hand and known from the public training labels."""

import os
from pathlib import Path

import numpy as np
import pytest

from common.competition_metric import best_constants, bootstrap, row_scores, score, weights
from common.labels import TARGETS

REAL_LABELS = Path(os.environ.get("RSNA_TRAIN_CSV", "../shared/rsna2022/train.csv"))


def test_weights_by_hand():
    labels = np.array([[0, 0, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 1, 1]])
    assert weights(labels).tolist() == [[1, 1, 1, 1, 1, 1, 1, 7], [1, 2, 1, 1, 1, 1, 2, 14]]


def test_two_studies_by_hand():
    labels = np.array([[0] * 8, [0, 1, 0, 0, 0, 0, 0, 1]])
    p = np.array([[0.05] * 7 + [0.10], [0.05, 0.8, 0.05, 0.05, 0.05, 0.05, 0.05, 0.9]])
    assert row_scores(p, labels) == pytest.approx([0.0783269, 0.1013225], abs=1e-7)
    assert score(p, labels) == pytest.approx(0.0898247, abs=1e-7)


def test_certain_and_wrong_is_finite():
    labels = np.array([[0] * 8])
    assert row_scores(np.ones((1, 8)), labels)[0] == pytest.approx(-np.log(1e-15), rel=1e-2)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="must both be"):
        score(np.full((2, 7), 0.5), np.zeros((2, 7)))


def test_best_constants_cannot_be_improved():
    rng = np.random.default_rng(0)
    labels = (rng.random((400, 8)) < 0.2).astype(int)
    labels[:, 7] = labels[:, :7].max(axis=1)
    best = best_constants(labels)
    lowest = score(np.tile(best, (400, 1)), labels)
    for column in range(8):
        for step in (-0.02, 0.02):
            other = best.copy()
            other[column] += step
            assert score(np.tile(other, (400, 1)), labels) > lowest


def test_bootstrap_covers_the_mean():
    values = np.random.default_rng(1).normal(3, 1, 200)
    low, high = bootstrap(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(200), rel=0.2)


@pytest.mark.skipif(not REAL_LABELS.exists(), reason="needs the competition's train.csv (RSNA_TRAIN_CSV)")
def test_constants_on_the_real_labels():
    import pandas as pd

    labels = pd.read_csv(REAL_LABELS)[list(TARGETS)].to_numpy()

    def constant(row: np.ndarray) -> float:
        return score(np.tile(row, (len(labels), 1)), labels)

    assert constant(np.full(8, 0.5)) == pytest.approx(0.693147, abs=1e-6)
    # Published as 0.563798; every other published value agrees to six digits.
    assert constant(labels.mean(axis=0)) == pytest.approx(0.563798, abs=2.5e-5)
    best = best_constants(labels)
    expected = [0.1027, 0.1930, 0.0512, 0.0752, 0.1105, 0.1842, 0.2559, 0.5309]
    assert best == pytest.approx(expected, abs=1e-4)
    assert constant(best) == pytest.approx(0.557339, abs=1e-6)
