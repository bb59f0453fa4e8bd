"""A submission is whole or refused; what is filled is said; the score's figures."""

import numpy as np
import pandas as pd
import pytest

from common.errors import SubmissionError
from common.labels import TARGETS
from stage2_classify.calibration.decide import decide
from stage2_classify.evaluation.evaluate_submission import evaluate, paired, read_submission
from stage2_classify.inference.submit import make_submission, write_submission

PRIOR = np.linspace(0.1, 0.8, 8)


def asked(uids):
    rows = [(f"{u}_{t}", u, t) for t in reversed(TARGETS) for u in uids]
    return pd.DataFrame(rows, columns=["row_id", "StudyInstanceUID", "prediction_type"])


def predictions(**studies):
    return pd.DataFrame.from_dict(studies, orient="index", columns=list(TARGETS))


def test_rows_come_in_the_order_they_are_asked_for(tmp_path):
    table = predictions(a=[0.0, *[0.2] * 6, 1.0], b=[0.3] * 8)
    submission, filled = make_submission(asked(["b", "a"]), table, None)
    assert submission["row_id"].tolist()[:3] == ["b_patient_overall", "a_patient_overall", "b_C7"]
    assert submission["fractured"].tolist()[:3] == [0.3, 1 - 1e-4, 0.3]
    assert submission["fractured"].between(0, 1, inclusive="neither").all() and filled.rows == ()
    write_submission(tmp_path / "s.csv", submission)
    back = read_submission(tmp_path / "s.csv")
    assert back.loc["a", "C1"] == pytest.approx(1e-4) and back.loc["b", "C2"] == pytest.approx(0.3)


def test_missing_study_is_refused_or_filled_and_said():
    table = predictions(a=[0.2] * 8)
    with pytest.raises(SubmissionError, match=r"8 of 16 rows.*the first b.*--fill-missing"):
        make_submission(asked(["a", "b"]), table, None)
    submission, filled = make_submission(asked(["a", "b"]), table, PRIOR)
    assert filled.studies == ("b",) and len(filled.rows) == 8
    by_row = submission.set_index("row_id")["fractured"]
    assert by_row["b_C1"] == pytest.approx(0.1) and by_row["b_patient_overall"] == pytest.approx(0.8)


def test_not_a_number_counts_as_missing_and_unknown_types_are_refused():
    with pytest.raises(SubmissionError, match="1 of 8 rows"):
        make_submission(asked(["a"]), predictions(a=[np.nan, *[0.2] * 7]), None)
    with pytest.raises(SubmissionError, match="C9"):
        make_submission(asked(["a"]).replace("C7", "C9"), predictions(a=[0.2] * 8), None)


@pytest.mark.parametrize(
    "text", ["row,fractured\na_C1,0.5\n", "row_id,fractured\na_C1,1.5\n", "row_id,fractured\na_C8,0.5\n",
             "row_id,fractured\na_C1,0.5\na_C1,0.5\n"],
)  # fmt: skip
def test_bad_submissions_are_refused(tmp_path, text):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(SubmissionError, match=r"s\.csv"):
        read_submission(tmp_path / "s.csv")


def test_evaluation_of_two_studies_worked_by_hand():
    labels = predictions(a=[0] * 8, b=[0, 1, 0, 0, 0, 0, 0, 1])
    answers = predictions(a=[0.05] * 7 + [0.10], b=[0.05, 0.8, 0.05, 0.05, 0.05, 0.05, 0.05, 0.9])
    figures = evaluate(answers, labels, draws=50)
    assert figures["score"] == pytest.approx(0.0898247, abs=1e-6)
    assert figures["auc"]["C2"] == 1 and figures["auc"]["C1"] is None and figures["macro_auc"] == 1
    assert figures["difference"] == pytest.approx(figures["score"] - figures["best_constant_score"])
    with pytest.raises(SubmissionError, match="the first is b"):
        evaluate(answers.drop(index="b"), labels)


def test_two_submissions_are_compared_study_by_study():
    labels = predictions(a=[0] * 8, b=[0, 1, 0, 0, 0, 0, 0, 1])
    answers = predictions(b=[0.05, 0.8, 0.05, 0.05, 0.05, 0.05, 0.05, 0.9], a=[0.05] * 7 + [0.10])
    less = paired(answers, labels * 0 + 0.5, labels)
    assert less["value"] == pytest.approx(0.0898247 - np.log(2), abs=1e-6)
    assert less["interval"] == pytest.approx([0.0783269 - np.log(2), 0.1013225 - np.log(2)], abs=1e-6)
    with pytest.raises(SubmissionError, match="the first is b"):
        paired(answers, labels.drop(index="b"), labels)


def test_best_constant_gains_nothing_on_itself():
    rng = np.random.default_rng(1)
    y = (rng.random((60, 8)) < 0.2).astype(int)
    y[:, 7] = y[:, :7].max(axis=1)
    labels = pd.DataFrame(y, columns=list(TARGETS))
    figures = evaluate(labels * 0 + evaluate(labels * 0.5 + 0.1, labels, draws=20)["best_constant"], labels, draws=20)
    assert figures["difference"] == pytest.approx(0, abs=1e-12)


def test_without_a_calibration_an_absent_level_gets_its_prior_and_the_patient_is_never_below_a_level():
    logits = np.array([[3.0, *[-3.0] * 6, 0.0], [3.0, *[-3.0] * 6, 0.0]])
    present = np.array([True] * 6 + [False])
    decided = decide(logits, present, PRIOR, None)
    p = decided.answer
    assert p[6] == pytest.approx(PRIOR[6]) and decided.calibrated is None
    assert p[0] == pytest.approx(1 / (1 + np.exp(-3))) and p[7] == p[0]
    assert decide(logits, np.zeros(7, bool), PRIOR, None).answer == pytest.approx(PRIOR)


def test_words_in_the_place_of_a_probability_are_refused(tmp_path):
    (tmp_path / "s.csv").write_text("row_id,fractured\na_C1,abc\n")
    with pytest.raises(SubmissionError, match=r"not a number within 0\.\.1"):
        read_submission(tmp_path / "s.csv")
