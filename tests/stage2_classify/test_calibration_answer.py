"""What a calibration answers: the best there is of a posterior, coherent, and never less for more evidence."""

import json

import numpy as np
import pytest
from known_posterior import draw, simulate
from scipy import optimize, special

from common.competition_metric import best_constants, row_scores
from stage2_classify.calibration.calibration import Calibration, LinearMap, coherent, evidence_of
from stage2_classify.calibration.decide import decide
from stage2_classify.calibration.fit import fit_calibration
from stage2_classify.calibration.fracture_patterns import (
    LEVEL_BITS,
    ROW_WEIGHT,
    TARGET_BITS,
    best_answer,
    marginals,
    pattern_of,
)
from stage2_classify.calibration.label_prior import USUAL, prior_of
from stage2_classify.inference.result import Result
from stage2_classify.prediction import OF_SYNTHETIC_ONLY, Prediction

AS_THEY_ARE = np.tile([1.0, 0.0], (8, 1))
PRIOR = prior_of(USUAL)


def everywhere(logits):
    return np.ones((len(logits), 7), bool)


@pytest.fixture(scope="module")
def some():
    return simulate("evidence", 150, 3)


@pytest.fixture(scope="module")
def fitted(some):
    return fit_calibration(some.logits, some.labels, everywhere(some.logits), (2.0, 20.0))


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
    assert special.expit(found.x) == pytest.approx(best_answer(posterior)[0], abs=1e-4)


def test_the_prior_alone_gives_the_best_constants():
    labels = TARGET_BITS[np.random.default_rng(1).choice(128, 4000, p=PRIOR)]
    shares = np.bincount(pattern_of(labels), minlength=128) / len(labels)
    assert best_answer(shares[None])[0] == pytest.approx(best_constants(labels))


@pytest.mark.parametrize(("reading", "of"), [("answer", best_answer), ("calibrated", marginals)])
def test_joint_evidence_is_bayes_rule_over_the_patterns(reading, of):
    """Clean logits of levels judged each alone: start and joint evidence give the true posterior's reading. Written
    anew: a product of likelihood ratios for every pattern."""
    usual = special.logit(marginals(PRIOR[None])[0])
    own = np.random.default_rng(5).normal(0, 1.5, (4, 8))
    posterior = np.array(
        [[p * np.exp(sum(e * b for e, b in zip(row, bits))) for p, bits in zip(PRIOR, TARGET_BITS)] for row in own]
    )
    posterior /= posterior.sum(axis=1, keepdims=True)
    found = evidence_of(usual + own, np.ones((4, 8), bool), AS_THEY_ARE, PRIOR, reading)
    assert found.own == pytest.approx(own)
    assert special.expit(found.start + found.joint) == pytest.approx(of(posterior))


def test_evidence_beyond_eight_nats_is_not_believed_and_what_is_out_of_view_is_none():
    usual = special.logit(marginals(PRIOR[None]))
    z = np.repeat(usual, 3, axis=0)
    z[0, 2], z[1, 2], z[2, 2] = 60.0, -60.0, 60.0
    seen = np.ones((3, 8), bool)
    seen[2, 2] = False
    found = evidence_of(z, seen, AS_THEY_ARE, PRIOR, "answer")
    assert found.own[:, 2] == pytest.approx([8, -8, 0]) and found.joint[2] == pytest.approx(np.zeros(8))
    assert found.joint[0, 3] > 0.5  # a neighbour's


def test_a_map_by_hand():
    """C1's evidence 1, from there 2 to C2; C2's joint evidence counts three times."""
    own, joint = np.zeros((1, 8)), np.zeros((1, 8))
    own[0, 0], joint[0, 1] = 1.0, 0.5
    weights, gain = np.zeros((8, 8)), np.zeros(8)
    weights[0, 1], gain[1] = 2.0, 3.0
    found = evidence_of(np.zeros((1, 8)), np.ones((1, 8), bool), AS_THEY_ARE, PRIOR, "answer")
    found = type(found)(own, joint, np.zeros(8))
    assert LinearMap(np.full(8, 0.25), weights, gain)(found)[0].tolist() == [0.25, 3.75, *[0.25] * 6]


def test_answers_are_coherent_and_inside(some, fitted):
    assert coherent(np.array([[0.1, 0.7, *[0.0] * 5, 0.3]]))[0, [1, 7]].tolist() == [0.7, 0.7]
    wild = np.concatenate([some.logits, np.random.default_rng(6).normal(0, 15, (100, 8))])
    for p in fitted(wild, everywhere(wild)):
        assert (p[:, 7] >= p[:, :7].max(axis=1)).all() and (p > 0).all() and (p < 1).all()


@pytest.mark.parametrize("kind", ["evidence", "marginals", "sequence_head", "smeared"])
def test_more_evidence_never_lowers_its_own_answer(kind):
    """The patient's may fall only where a level's answer stands for it, which its own logit may count against."""
    logits, labels = draw(kind, 120, 8)
    fitted = fit_calibration(logits, labels, everywhere(logits), (0.5,))
    before = fitted(logits, everywhere(logits))
    for target in range(8):
        raised = logits.copy()
        raised[:, target] += 0.4
        for was, now in zip(before, fitted(raised, everywhere(raised))):
            own = (was[:, 7] > was[:, :7].max(axis=1)) | (target < 7)
            assert (now[:, target] - was[:, target])[own].min() > -1e-12


def test_a_level_out_of_view_is_known_from_the_others(fitted):
    logits = np.full((2, 8), -2.0)
    logits[1, [4, 7]] = 6.0
    present = everywhere(logits)
    present[:, 5] = False
    logits[:, 5] = 50.0  # not looked at
    answer, calibrated = fitted(logits, present)
    assert calibrated[0, 5] < calibrated[1, 5] < 0.9  # a fractured C5 makes a fractured C6 likelier
    logits[:, 5] = -50.0
    assert np.array_equal(fitted(logits, present)[0], answer)


def test_decide_with_and_without_levels_in_view(fitted):
    prior = np.linspace(0.1, 0.8, 8)
    logits = np.array([[1.5, *[-1.5] * 6, 1.0], [0.5, *[-2.5] * 6, 0.0]])
    decided = decide(logits, np.ones(7, bool), prior, fitted)
    answer, calibrated = fitted(logits.mean(axis=0)[None], np.ones((1, 7), bool))
    assert decided.answer == pytest.approx(answer[0]) and decided.calibrated == pytest.approx(calibrated[0])
    nothing = decide(logits, np.zeros(7, bool), prior, fitted)
    assert nothing.answer == pytest.approx(prior)
    assert nothing.calibrated == pytest.approx(marginals(prior_of(fitted.prior)[None])[0])


@pytest.mark.parametrize("calibrates", [False, True], ids=["without a calibration", "with one"])
def test_the_patient_s_answer_is_never_below_that_of_a_level_in_view(fitted, calibrates):
    """Networks that are sure of C5 and sure that nothing is broken contradict themselves; answers don't."""
    prior = best_answer(PRIOR[None])[0]
    for level in range(7):
        logits = np.full((3, 8), -3.0)
        logits[:, level], logits[:, 7] = 5.0, -6.0
        decided = decide(logits, np.ones(7, bool), prior, fitted if calibrates else None)
        for values in (decided.answer, decided.network, decided.calibrated):
            assert values is None or (values[7] >= values[:7].max() and values[:7].argmax() == level)


def test_an_absent_level_s_prior_does_not_raise_the_patient():
    present = np.ones(7, bool)
    present[4] = False
    prior = np.full(8, 0.1)
    prior[4] = 0.9
    decided = decide(np.full((1, 8), -2.0), present, prior, None)
    assert decided.answer[4] == 0.9 and decided.answer[7] == pytest.approx(1 / (1 + np.exp(2)))


def test_an_ensemble_answers_with_the_mean_of_its_logits():
    logits = np.array([[4.0] * 8, [0.0] * 8, [-1.0] * 8])
    assert decide(logits, np.ones(7, bool), np.full(8, 0.5), None).answer == pytest.approx(1 / (1 + np.exp(-1)))


def test_result_of_one_study_tells_both():
    answer = Prediction("", np.full(8, 0.25), {}, np.full(8, 0.125))
    content = Result(answer, ("digest",), "merged").to_json()
    assert content["probabilities"]["C1"] == 0.25 and content["calibrated"]["patient_overall"] == 0.125
    assert Result(Prediction("", np.full(8, 0.25)), (), "merged").to_json()["calibrated"] is None
    assert "synthetic" not in content["notice"]
    assert "synthetic studies alone" in Result(answer, ("digest",), "merged", (OF_SYNTHETIC_ONLY,)).to_json()["notice"]


def test_a_calibration_as_json_and_back(some, fitted):
    content = json.loads(json.dumps(fitted.to_json()))
    x, seen = some.logits, everywhere(some.logits)
    assert np.array_equal(Calibration.from_json(content)(x, seen), fitted(x, seen))
    with pytest.raises(ValueError, match="of another version"):
        Calibration.from_json({**content, "schema": 1})
    content["answer"]["joint"]["C3"] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        Calibration.from_json(content)
