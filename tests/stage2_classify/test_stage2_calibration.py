"""How far few studies may move the fit: the priors that hold calibration, prevalence and the choice among fits."""

from dataclasses import dataclass

import numpy as np
import pytest

from common.competition_metric import bootstrap
from stage2_classify.calibration import fit as fitting
from stage2_classify.calibration.decide import decide
from stage2_classify.calibration.evidence import LEVEL_NAMES, evidence_of
from stage2_classify.calibration.fracture_patterns import marginals
from stage2_classify.calibration.label_prior import FEATURES, NAMES, TOGETHER, USUAL, fit_prior, prior_of
from stage2_classify.calibration.logit_scaling import calibrate, fit_calibration
from stage2_classify.calibration.optimal_answer import best_answer
from stage2_classify.calibration.posterior import COUNTS, Posterior


def in_view(studies: int) -> np.ndarray:
    return np.ones((studies, 7), bool)


def test_a_level_s_own_offset_is_held_near_the_others() -> None:
    """Forty studies with logits 0, half of the labels 1, but C3's all: its odds move by less than a nat, and all the
    levels' a little. Without a prior C3's offset would run away."""
    labels = np.tile((np.arange(40) % 2)[:, None], (1, 8)).astype(float)
    labels[:, 2] = 1
    offsets = fit_calibration(np.zeros((40, 8)), labels, in_view(40))[:7, 1]
    others = np.delete(offsets, 2)
    assert 0.3 < offsets[2] - others.mean() < 1.0
    assert np.ptp(others) < 1e-3 and 0 < others.mean() < 0.6


def test_few_studies_that_are_all_right_do_not_make_logits_certain() -> None:
    """Four studies, each logit on the right side: without a prior the slope would have no bound."""
    labels = np.tile([[1.0], [0], [1], [0]], (1, 8))
    slopes = fit_calibration(2 * labels - 1, labels, in_view(4))[:, 0]
    assert (slopes > 1).all() and (slopes < 8).all()
    one = fit_calibration(2 * labels[:, :] - 1, labels, in_view(4) & (np.arange(7) == 0))[:, 0]
    assert one[0] < slopes[0]  # seven levels tell more than one


def test_studies_without_a_level_in_view_teach_nothing() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 1, (30, 8)), (rng.random((30, 8)) < 0.4).astype(float)
    wild = np.concatenate([logits, np.full((10, 8), 30.0)]), np.concatenate([labels, np.zeros((10, 8))])
    present = np.concatenate([in_view(30), ~in_view(10)])
    assert fit_calibration(*wild, present) == pytest.approx(fit_calibration(logits, labels, in_view(30)), abs=1e-4)


def test_nothing_in_view_changes_nothing() -> None:
    unchanged = fit_calibration(np.ones((5, 8)), np.ones((5, 8)), ~in_view(5))
    assert unchanged.tolist() == [[1.0, 0.0]] * 8
    x = np.random.default_rng(1).normal(0, 1, (5, 8))
    assert np.array_equal(calibrate(x, unchanged), x)
    assert calibrate(np.array([[1.0, *[0.0] * 7]]), np.tile([2.0, 0.5], (8, 1)))[0, :2].tolist() == [2.5, 0.5]


def usual_logits() -> np.ndarray:
    """(8,) logits of the prior's own marginals."""
    p = marginals(prior_of(USUAL)[None])[0]
    return np.log(p / (1 - p))


def test_evidence_of_a_level_reaches_both_of_its_neighbours_and_no_further() -> None:
    z = usual_logits()[None].repeat(3, axis=0)
    z[0, 3] += 1.5  # C4
    z[1, 0] += 1.5  # C1
    z[2, 6] += 1.5  # C7
    column = evidence_of(z, in_view(3), prior_of(USUAL)).level[:, :, LEVEL_NAMES.index("neighbours")]
    expected = np.zeros((3, 7))
    expected[0, [2, 4]], expected[1, 1], expected[2, 5] = 1.5, 1.5, 1.5
    assert column == pytest.approx(expected, abs=1e-9)


def test_evidence_beyond_eight_nats_is_not_believed_and_its_parts_add_up() -> None:
    z = usual_logits()[None].repeat(2, axis=0)
    z[0, 2], z[1, 2] = 60.0, -60.0
    level = evidence_of(z, in_view(2), prior_of(USUAL)).level[:, 2, :3]
    assert level == pytest.approx(np.array([[0, 2, 6], [-8, 0, 0]]))


def test_what_is_out_of_view_is_no_evidence() -> None:
    z = usual_logits()[None] + 3
    present = in_view(1)
    present[0, 4] = False
    found = evidence_of(z, present, prior_of(USUAL))
    assert not found.level[0, 4].any() and found.level[0, 3].any()
    assert found.level[0, 3, LEVEL_NAMES.index("neighbours")] == pytest.approx(3)  # C3's alone
    nothing = evidence_of(z, ~in_view(1), prior_of(USUAL))
    assert not nothing.any[0, :2].any() and not nothing.level.any()


def test_few_labels_hardly_move_how_fractures_come_together() -> None:
    """Ten studies with C1 and C2 broken: neighbours are expected to hold together as in the usual cohort."""
    labels = np.zeros((10, 8))
    labels[:, [0, 1, 7]] = 1
    moved = fit_prior(labels) - USUAL
    together = moved[[NAMES.index(name) for name in TOGETHER]]
    assert np.abs(together).max() < 1.0
    assert moved[NAMES.index("C1")] > 1 > np.abs(moved[NAMES.index("C4")])


@dataclass(frozen=True)
class Guess:
    """A posterior that says for every study whether all or none of its levels are broken."""

    broken: bool
    coefficients: np.ndarray

    def __call__(self, logits: np.ndarray, present: np.ndarray) -> np.ndarray:
        p = np.full((len(logits), 128), 0.1 / 127)
        p[:, 127 if self.broken else 0] = 0.9
        return p


def test_the_fit_that_scores_better_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def guesses(logits, labels, present, choices):
        return [Guess(c.centre != "evidence", np.array([float(c.centre == "evidence")])) for c in choices]

    monkeypatch.setattr(fitting, "fit_choices", guesses)
    for label, expected in ((0.0, 1.0), (1.0, 0.0)):
        labels = np.full((40, 8), label)
        fitted = fitting.fit_posterior(np.zeros((40, 8)), labels, in_view(40), (1.0,))
        assert fitted.coefficients[0] == pytest.approx(expected, abs=1e-3)
    few = fitting.fit_posterior(np.zeros((7, 8)), np.zeros((7, 8)), in_view(7), (1.0,))
    assert few.coefficients[0] == pytest.approx(1 / 3)  # too few to tell: all three centres count


def plain_posterior() -> Posterior:
    """Believes each level's own evidence as it is, and nothing else."""
    coefficients = np.zeros(sum(COUNTS))
    coefficients[1:4], coefficients[-COUNTS[-1] :] = 1, USUAL[-COUNTS[-1] :]
    return Posterior(np.tile([1.0, 0.0], (8, 1)), USUAL, coefficients)


@pytest.mark.parametrize("posterior", [None, plain_posterior()], ids=["without a posterior", "with one"])
def test_the_patient_s_answer_is_never_below_that_of_a_level_in_view(posterior: Posterior | None) -> None:
    """Networks that are sure of C5 and sure that nothing is broken contradict themselves; answers don't."""
    prior = best_answer(prior_of(USUAL)[None])[0]
    for level in range(7):
        logits = np.full((3, 8), -3.0)
        logits[:, level], logits[:, 7] = 5.0, -6.0
        decided = decide(logits, np.ones(7, bool), prior, posterior)
        for values in (decided.answer, decided.network, decided.calibrated):
            assert values is None or (values[7] >= values[:7].max() and values[:7].argmax() == level)


def test_an_absent_level_s_prior_does_not_raise_the_patient() -> None:
    present = np.ones(7, bool)
    present[4] = False
    prior = np.full(8, 0.1)
    prior[4] = 0.9
    decided = decide(np.full((1, 8), -2.0), present, prior, None)
    assert decided.answer[4] == 0.9 and decided.answer[7] == pytest.approx(1 / (1 + np.exp(2)))


def test_an_ensemble_answers_with_the_mean_of_its_logits() -> None:
    logits = np.array([[4.0] * 8, [0.0] * 8, [-1.0] * 8])
    assert decide(logits, np.ones(7, bool), np.full(8, 0.5), None).answer == pytest.approx(1 / (1 + np.exp(-1)))


def test_an_interval_holds_ninety_five_percent() -> None:
    values = np.random.default_rng(3).normal(0, 1, 4000)
    low, high = bootstrap(values, draws=4000)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(4000), rel=0.06)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.002)


def test_what_comes_together_by_hand() -> None:
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
