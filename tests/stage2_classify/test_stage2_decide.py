"""The answer is the best there is, the posterior is exact and coherent, and no study is read by a fit that saw it."""

import json

import numpy as np
import pytest
from known_posterior import simulate
from scipy import optimize, special

from common.competition_metric import best_constants, row_scores
from stage2_classify.calibration import cross_fit
from stage2_classify.calibration.decide import decide
from stage2_classify.calibration.evidence import project
from stage2_classify.calibration.fit import CENTRES, Choice, _score, fit_choices, fit_posterior
from stage2_classify.calibration.fracture_patterns import LEVEL_BITS, ROW_WEIGHT, TARGET_BITS, marginals, pattern_of
from stage2_classify.calibration.label_prior import FEATURES, NAMES, USUAL, fit_prior, prior_of
from stage2_classify.calibration.logit_scaling import calibrate, fit_calibration
from stage2_classify.calibration.optimal_answer import best_answer, expected_score
from stage2_classify.calibration.posterior import Posterior
from stage2_classify.inference.result import Result
from stage2_classify.predictions import Prediction

STRENGTHS = (1.0, 16.0)


def everywhere(logits):
    return np.ones((len(logits), 7), bool)


@pytest.fixture(scope="module")
def some():
    return simulate("evidence", 150, 3)


@pytest.fixture(scope="module")
def fitted(some):
    return fit_posterior(some.logits, some.labels, everywhere(some.logits), STRENGTHS)


def test_patterns_and_their_weights():
    assert ROW_WEIGHT[0] == 14 and ROW_WEIGHT[0b1000001] == 23 and ROW_WEIGHT[127] == 28
    assert LEVEL_BITS[0b0000100].tolist() == [0, 0, 1, 0, 0, 0, 0] and TARGET_BITS[4, 7] == 1
    assert (pattern_of(TARGET_BITS) == np.arange(128)).all()


def test_two_levels_by_hand():
    """Only C1 and C2 may break: none .5, C1 .2, C2 .2, both .1, rows weighing 14, 22, 22, 23."""
    posterior = np.zeros((1, 128))
    posterior[0, [0, 1, 2, 3]] = 0.5, 0.2, 0.2, 0.1
    assert marginals(posterior)[0, [0, 1, 2, 7]] == pytest.approx([0.3, 0.3, 0, 0.5])
    a = 0.2 * 2 / 22 + 0.1 * 2 / 23
    b = 0.5 / 14 + 0.2 / 22
    c, d = 14 * (0.4 / 22 + 0.1 / 23), 7 * 0.5 / 14
    assert best_answer(posterior)[0, [0, 1, 2, 7]] == pytest.approx([a / (a + b), a / (a + b), 0, c / (c + d)])


def test_best_answer_is_the_minimum_found_by_search():
    posterior = np.random.default_rng(0).dirichlet(np.full(128, 0.05), 1)

    def cost(z):
        share = [row_scores(special.expit(z)[None], bits[None])[0] for bits in TARGET_BITS]
        return float(posterior[0] @ share)

    found = optimize.minimize(cost, np.zeros(8), method="BFGS", options={"gtol": 1e-9})
    answer = best_answer(posterior)
    assert special.expit(found.x) == pytest.approx(answer[0], abs=1e-4)
    assert expected_score(posterior, answer)[0] == pytest.approx(found.fun, abs=1e-8)


def test_the_prior_alone_gives_the_best_constants():
    labels = TARGET_BITS[np.random.default_rng(1).choice(128, 4000, p=prior_of(USUAL))]
    shares = np.bincount(pattern_of(labels), minlength=128) / len(labels)
    assert best_answer(shares[None])[0] == pytest.approx(best_constants(labels))


def test_prior_has_the_marginals_and_neighbours_of_its_labels():
    labels = TARGET_BITS[np.random.default_rng(2).choice(128, 5000, p=prior_of(USUAL + 0.3))]
    prior = prior_of(fit_prior(labels))
    seen = FEATURES[pattern_of(labels)].mean(axis=0)
    assert prior @ FEATURES == pytest.approx(seen, abs=0.01) and len(NAMES) == FEATURES.shape[1]


def test_calibration_undoes_overconfidence():
    rng = np.random.default_rng(0)
    true = rng.normal(-1.5, 1.5, (2000, 8))
    labels = (rng.random(true.shape) < special.expit(true)).astype(float)
    calibration = fit_calibration(4 * true + 1, labels, everywhere(true))
    assert calibration[:, 0] == pytest.approx(0.25, rel=0.1) and (calibration[:, 0] > 0).all()
    assert calibrate(4 * true + 1, calibration) == pytest.approx(true, abs=0.6)


def test_projection_has_the_wanted_marginals_and_recovers_the_tilts():
    prior = prior_of(USUAL)
    tilt = np.random.default_rng(4).normal(0, 1, (20, 8))
    posterior = special.softmax(np.log(prior) + tilt @ TARGET_BITS.T, axis=1)
    seen = np.ones((20, 8), bool)
    found = project(special.logit(marginals(posterior)), seen, prior)
    again = special.softmax(np.log(prior) + found @ TARGET_BITS.T, axis=1)
    assert marginals(again) == pytest.approx(marginals(posterior), abs=0.06)
    assert np.corrcoef(found.ravel(), tilt.ravel())[0, 1] > 0.9
    seen[:, 3] = False
    assert (project(special.logit(marginals(posterior)), seen, prior)[:, 3] == 0).all()


def test_derivative_of_the_score_by_the_posterior():
    rng = np.random.default_rng(5)
    u, labels = rng.normal(size=(1, 128)), TARGET_BITS[[5]]
    share = np.array([[2, 1, 2, 1, 1, 1, 1, 14]]) / 23
    value, slope = _score(special.softmax(u, axis=1), labels, share)
    assert value == pytest.approx(row_scores(best_answer(special.softmax(u, axis=1)), labels)[0])
    for pattern in (0, 5, 77):
        moved = u.copy()
        moved[0, pattern] += 1e-6
        change = _score(special.softmax(moved, axis=1), labels, share)[0] - value
        assert change / 1e-6 == pytest.approx(slope[0, pattern], abs=1e-5)


def test_answers_are_coherent_and_inside(some, fitted):
    wild = np.concatenate([some.logits, np.random.default_rng(6).normal(0, 15, (100, 8))])
    posterior = fitted(wild, everywhere(wild))
    for p in (best_answer(posterior), marginals(posterior)):
        assert (p[:, 7] >= p[:, :7].max(axis=1) - 1e-12).all() and (p > 0).all() and (p < 1).all()
    assert (best_answer(posterior) >= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["evidence", "marginals"])
def test_more_evidence_never_lowers_its_own_answer(kind):
    known = simulate(kind, 300, 8)
    posterior = fit_posterior(known.logits, known.labels, everywhere(known.logits), STRENGTHS)
    before = best_answer(posterior(known.logits, everywhere(known.logits)))
    for target in range(8):
        raised = known.logits.copy()
        raised[:, target] += 0.4
        after = best_answer(posterior(raised, everywhere(raised)))
        assert (after[:, target] - before[:, target]).min() > -1e-3
        assert np.mean(after[:, target] >= before[:, target] - 1e-9) > 0.99


def test_a_level_out_of_view_is_known_from_the_others(fitted):
    logits = np.full((2, 8), -2.0)
    logits[1, [4, 7]] = 6.0
    present = everywhere(logits)
    present[:, 5] = False
    logits[:, 5] = 50.0  # not looked at
    p = marginals(fitted(logits, present))
    assert p[0, 5] < p[1, 5] < 0.9  # a fractured C5 makes a fractured C6 likelier
    logits[:, 5] = -50.0
    assert marginals(fitted(logits, present)) == pytest.approx(p)


def test_decide_with_and_without_levels_in_view(fitted):
    prior = np.linspace(0.1, 0.8, 8)
    logits = np.array([[1.5, *[-1.5] * 6, 1.0], [0.5, *[-2.5] * 6, 0.0]])
    decided = decide(logits, np.ones(7, bool), prior, fitted)
    patterns = fitted(logits.mean(axis=0)[None], np.ones((1, 7), bool))
    assert decided.answer == pytest.approx(best_answer(patterns)[0])
    assert decided.calibrated == pytest.approx(marginals(patterns)[0])
    nothing = decide(logits, np.zeros(7, bool), prior, fitted)
    assert nothing.answer == pytest.approx(prior)
    assert nothing.calibrated == pytest.approx(marginals(prior_of(fitted.prior)[None])[0])


def test_result_of_one_study_tells_both():
    answer = Prediction("", np.full(8, 0.25), {}, np.full(8, 0.125))
    content = Result(answer, ("digest",), "merged").to_json()
    assert content["probabilities"]["C1"] == 0.25 and content["calibrated"]["patient_overall"] == 0.125
    assert Result(Prediction("", np.full(8, 0.25)), (), "merged").to_json()["calibrated"] is None
    assert "synthetic" not in content["notice"]
    assert "synthetic studies alone" in Result(answer, ("digest",), "merged", synthetic=True).to_json()["notice"]


def test_posterior_as_json_and_back(some, fitted):
    again = Posterior.from_json(json.loads(json.dumps(fitted.to_json())))
    x, seen = some.logits, everywhere(some.logits)
    assert again(x, seen) == pytest.approx(fitted(x, seen))
    with pytest.raises(KeyError):
        Posterior.from_json({"calibration": {}})


def test_no_study_is_read_by_a_fit_that_saw_it(some, monkeypatch):
    logits, seen = some.logits.copy(), []
    logits[:, 0] = np.arange(len(logits))

    def spy(logits, labels, present, strengths):
        own = set(logits[:, 0])
        seen.append(own)
        return lambda left, present: own.isdisjoint(left[:, 0]) * np.full((len(left), 128), 1 / 128)

    monkeypatch.setattr(cross_fit, "fit_posterior", spy)
    fold = cross_fit.random_folds(len(logits), 4)
    read = cross_fit.cross_fit(logits, some.labels, everywhere(logits), fold, STRENGTHS)
    assert len(seen) == 4 and (read > 0).all()
    assert np.bincount(fold).min() >= len(logits) // 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["evidence", "marginals"])
def test_within_one_percent_of_the_optimum(kind):
    """Cross-fitted, on 2,000 studies, three folds; the optimum knows the true posterior of every study."""
    known = simulate(kind, 2000, 11)
    fold, seen = cross_fit.random_folds(2000, 3), everywhere(known.logits)
    read = np.empty_like(known.posterior)
    for held_out in range(3):
        kept, left = fold != held_out, fold == held_out
        centre = Choice("between", 1.0)
        model = fit_choices(known.logits[kept], known.labels[kept], seen[kept], [centre])[0]
        read[left] = model(known.logits[left], seen[left])
    optimum = row_scores(best_answer(known.posterior), known.labels).mean()
    reached = row_scores(best_answer(read), known.labels).mean()
    plain = row_scores(marginals(known.posterior), known.labels).mean()
    assert optimum < reached < 1.01 * optimum < plain


def test_every_centre_is_held_to_when_the_hold_is_strong(some):
    seen = everywhere(some.logits)
    for name, (projection, own, _) in CENTRES.items():
        model = fit_choices(some.logits, some.labels, seen, [Choice(name, 1e6)])[0].to_json()
        assert model["projection"] == pytest.approx(projection, abs=0.01)
        assert model["level"]["own 0 to 2"] == pytest.approx(max(own, 0.1), abs=0.01)
        assert model["labels"]["C4 and C5"] == pytest.approx(model["prior"]["C4 and C5"], abs=0.01)
