"""How far few studies may move the fit, what it recovers from many, and that no study is read by a fit that saw it."""

import numpy as np
import pytest
from known_posterior import simulate
from scipy import optimize, special

from common.competition_metric import bootstrap, row_scores
from stage2_classify.calibration import cross_fit
from stage2_classify.calibration import fit as fitting
from stage2_classify.calibration.calibration import Evidence, LinearMap, evidence_of
from stage2_classify.calibration.fit import fit_calibration, fit_map, fit_scaling, random_folds, target_weights
from stage2_classify.calibration.fracture_patterns import TARGET_BITS, best_answer, marginals, pattern_of
from stage2_classify.calibration.label_prior import FEATURES, NAMES, TOGETHER, USUAL, fit_prior, prior_of

STRENGTHS = (2.0, 20.0, 200.0)


def in_view(studies: int, targets: int = 7) -> np.ndarray:
    return np.ones((studies, targets), bool)


def some_evidence(studies: int, seed: int = 0) -> tuple[Evidence, np.ndarray]:
    known = simulate("evidence", studies, seed)
    scaling = fit_scaling(known.logits, known.labels, in_view(studies, 8))
    return evidence_of(known.logits, in_view(studies, 8), scaling, prior_of(USUAL), "answer"), known.labels


def test_scaling_undoes_overconfidence():
    true = np.random.default_rng(0).normal(-1.5, 1.5, (2000, 8))
    labels = (np.random.default_rng(1).random(true.shape) < special.expit(true)).astype(float)
    scaling = fit_scaling(4 * true + 1, labels, in_view(2000, 8))
    assert scaling[:, 0] == pytest.approx(0.25, rel=0.1)
    assert (4 * true + 1) * scaling[:, 0] + scaling[:, 1] == pytest.approx(true, abs=0.6)
    assert (scaling[:7] == scaling[0]).all() and (scaling[7] != scaling[0]).all()  # levels share theirs
    backwards = fit_scaling(-true, labels, in_view(2000, 8))
    assert (backwards[:, 0] == 0).all()


def test_few_studies_that_are_all_right_do_not_make_logits_certain():
    """Four studies, each logit on the right side: without regularisation the slope would have no bound."""
    labels = np.tile([[1.0], [0], [1], [0]], (1, 8))
    slopes = fit_scaling(2 * labels - 1, labels, in_view(4, 8))[:, 0]
    assert (slopes > 0.5).all() and (slopes < 8).all()
    assert slopes[7] < slopes[0]  # seven levels tell more than one patient


def test_labels_of_one_kind_and_nothing_in_view_have_a_scaling():
    none = fit_scaling(np.zeros((6, 8)), np.zeros((6, 8)), in_view(6, 8))
    assert np.isfinite(none).all() and (none[:, 1] < -1).all()
    assert fit_scaling(np.ones((5, 8)), np.ones((5, 8)), ~in_view(5, 8)) == pytest.approx(np.zeros((8, 2)), abs=1e-6)


def test_what_is_not_in_view_teaches_nothing():
    known = simulate("evidence", 60, 2)
    logits, labels, present = known.logits.copy(), known.labels, in_view(60)
    present[:20, 2] = False
    logits[:20, 2] = 50.0
    other = logits.copy()
    other[:20, 2] = -50.0
    ours, theirs = (fit_calibration(x, labels, present, (20.0,)) for x in (logits, other))
    for part in ("constant", "weights", "joint"):
        assert np.array_equal(getattr(ours.maps["answer"], part), getattr(theirs.maps["answer"], part))
    assert np.array_equal(ours.scaling, theirs.scaling)


def test_labels_of_what_is_not_in_view_teach_the_map_nothing(monkeypatch):
    """The prior is taken as given, since it counts all labels."""
    monkeypatch.setattr(fitting, "fit_prior", lambda labels: USUAL)
    known = simulate("evidence", 60, 2)
    present, other = in_view(60), known.labels.copy()
    present[:20, 2] = False
    other[:20, 2] = 1 - other[:20, 2]
    ours, theirs = (fit_calibration(known.logits, labels, present, (20.0,)) for labels in (known.labels, other))
    assert np.array_equal(ours.maps["calibrated"].constant, theirs.maps["calibrated"].constant)


def test_evidence_that_speaks_against_its_own_level_counts_nothing():
    found, labels = some_evidence(300)
    backwards = Evidence(found.own.copy(), found.joint.copy(), found.start)
    backwards.own[:, 2] *= -1
    backwards.joint[:, 2] *= -1
    assert fit_map(backwards, labels, target_weights(labels, "answer"), 0.1).weights[2, 2] == 0


def test_a_target_weighs_what_it_does_in_the_score():
    labels = np.zeros((2, 8))
    labels[1, [2, 7]] = 1
    assert target_weights(labels, "answer")[:, [0, 2, 7]] == pytest.approx(
        np.array([[1 / 14, 1 / 14, 7 / 14], [1 / 22, 2 / 22, 14 / 22]])
    )
    assert (target_weights(labels, "calibrated") == 1 / 8).all()


def test_the_map_is_the_minimum_found_by_search_without_derivatives():
    """The cost is written anew, target by target; no step along any coefficient from the map may lower it."""
    found, labels = some_evidence(40)
    share = target_weights(labels, "answer")
    strength, mean = 3.0, found.own.mean(axis=0)

    def cost(one: LinearMap, own: np.ndarray) -> float:
        slopes = np.array([own[0]] * 7 + [own[1]])
        p = special.expit(found.own @ one.weights + one.constant + found.joint * one.joint)
        loss = -(share * (labels * np.log(p) + (1 - labels) * np.log1p(-p))).sum()
        offset = one.constant + mean @ one.weights - mean * slopes - found.start
        joint = one.joint[[0, 7]]
        ridge = strength * ((one.weights - np.diag(slopes)) ** 2).sum()
        return loss + 0.5 * (
            ridge + 5 * ((own - 0.5) ** 2).sum() + 5 * ((joint - 0.5) ** 2).sum() + 10 * offset @ offset
        )

    best = fit_map(found, labels, share, strength)
    own = optimize.minimize(lambda own: cost(best, own), [0.5, 0.5], method="Nelder-Mead", tol=1e-10).x
    least = cost(best, own)
    rng = np.random.default_rng(4)
    for _ in range(200):
        away = [rng.normal(0, 0.02, shape) for shape in (8, (8, 8), 2, 2)]
        moved = LinearMap(best.constant + away[0], best.weights + away[1], best.joint + away[2][[0] * 7 + [1]])
        assert cost(moved, own + away[3]) > least


def test_strong_regularisation_leaves_slopes_and_weak_mixes_targets():
    found, labels = some_evidence(300)
    share = target_weights(labels, "answer")
    strong, weak = (fit_map(found, labels, share, strength).weights for strength in (1e6, 0.5))
    off = ~np.eye(8, dtype=bool)
    assert np.abs(strong[off]).max() < 1e-3 < 0.2 < np.abs(weak[off]).max()
    assert np.ptp(np.diag(strong)[:7]) < 1e-3 < np.ptp(np.diag(weak)[:7])
    assert (np.diag(weak) >= 0).all()


def test_few_studies_hardly_move_slopes_and_offsets():
    found, labels = some_evidence(10)
    of = fit_map(found, labels, target_weights(labels, "answer"), 200.0)
    assert np.diag(of.weights) == pytest.approx(0.5, abs=0.25) and of.joint == pytest.approx(0.5, abs=0.25)
    offset = (
        of.constant - found.start + found.own.mean(axis=0) @ of.weights - np.diag(of.weights) * found.own.mean(axis=0)
    )
    assert np.abs(offset).max() < 0.3


def test_the_strength_that_does_better_counts(monkeypatch):
    """Maps that say yes or no to everything: labels decide which of them counts."""

    def guess(found, labels, share, strength):
        return LinearMap(np.full(8, 2.0 if strength == 1 else -2.0), np.zeros((8, 8)), np.zeros(8))

    monkeypatch.setattr(fitting, "fit_map", guess)
    for label, expected in ((1.0, 2.0), (0.0, -2.0)):
        fitted = fit_calibration(np.zeros((40, 8)), np.full((40, 8), label), in_view(40), (1.0, 2.0))
        assert fitted.maps["answer"].constant == pytest.approx(expected, abs=1e-3)
    few = fit_calibration(np.zeros((9, 8)), np.zeros((9, 8)), in_view(9), (1.0, 2.0))
    assert few.maps["answer"].constant == pytest.approx(0)  # too few to tell: both count


def test_a_fit_says_the_same_twice():
    known = simulate("marginals", 50, 1)
    one, two = (fit_calibration(known.logits, known.labels, in_view(50), STRENGTHS).to_json() for _ in range(2))
    assert one == two


def test_no_study_is_read_by_a_fit_that_saw_it(monkeypatch):
    known = simulate("evidence", 60, 3)
    logits, fits = known.logits.copy(), []
    logits[:, 0] = np.arange(60)

    def spy(logits, labels, present, strengths):
        own = set(logits[:, 0])
        fits.append(own)
        return lambda left, present: (np.full((len(left), 8), float(own.isdisjoint(left[:, 0]))),) * 2

    monkeypatch.setattr(cross_fit, "fit_calibration", spy)
    fold = random_folds(60, 4)
    answer, calibrated = cross_fit.cross_fit(logits, known.labels, in_view(60), fold, STRENGTHS)
    assert len(fits) == 4 and (answer == 1).all() and (calibrated == 1).all()
    assert np.bincount(fold).min() >= 15


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["evidence", "marginals"])
def test_within_one_percent_of_the_optimum(kind):
    """Cross-fitted, on 2,000 studies, three folds; the optimum knows the true posterior of every study."""
    known = simulate(kind, 2000, 11)
    reached = row_scores(
        cross_fit.cross_fit(known.logits, known.labels, in_view(2000), random_folds(2000, 3), STRENGTHS)[0],
        known.labels,
    ).mean()
    optimum = row_scores(best_answer(known.posterior), known.labels).mean()
    plain = row_scores(marginals(known.posterior), known.labels).mean()
    assert optimum < reached < 1.01 * optimum < plain


def test_prior_has_the_marginals_and_neighbours_of_its_labels():
    labels = TARGET_BITS[np.random.default_rng(2).choice(128, 5000, p=prior_of(USUAL + 0.3))]
    prior = prior_of(fit_prior(labels))
    seen = FEATURES[pattern_of(labels)].mean(axis=0)
    assert prior @ FEATURES == pytest.approx(seen, abs=0.01) and len(NAMES) == FEATURES.shape[1]


def test_few_labels_hardly_move_how_fractures_come_together():
    """Ten studies with C1 and C2 broken: neighbours are expected to hold together as in the usual cohort."""
    labels = np.zeros((10, 8))
    labels[:, [0, 1, 7]] = 1
    moved = fit_prior(labels) - USUAL
    together = moved[[NAMES.index(name) for name in TOGETHER]]
    assert np.abs(together).max() < 1.0
    assert moved[NAMES.index("C1")] > 1 > np.abs(moved[NAMES.index("C4")])


def test_what_comes_together_by_hand():
    def features(*levels: int) -> dict[str, float]:
        row = FEATURES[sum(1 << (level - 1) for level in levels)]
        return {name: value for name, value in zip(NAMES, row) if value}

    assert features() == {}
    assert features(4) == {"C4": 1}
    assert features(1, 2) == {"C1": 1, "C2": 1, "more than one": 1, "C1 and C2": 1}
    assert features(1, 3) == {"C1": 1, "C3": 1, "more than one": 1, "two apart": 1}
    assert features(5, 6, 7) == {
        "C5": 1, "C6": 1, "C7": 1, "more than one": 2, "C5 and C6": 1, "C6 and C7": 1, "two apart": 1,
    }  # fmt: skip
    assert features(1, 7) == {"C1": 1, "C7": 1, "more than one": 1}


def test_an_interval_holds_ninety_five_percent():
    values = np.random.default_rng(3).normal(0, 1, 4000)
    low, high = bootstrap(values, draws=4000)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(4000), rel=0.06)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.002)
