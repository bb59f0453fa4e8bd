"""`calibrate` on anyone's predictions: what it writes, what it refuses, and a fit that is kept and used again."""

import json

import numpy as np
import pandas as pd
import pytest
from known_posterior import simulate
from scipy import special

from common.competition_metric import row_scores
from common.errors import DatasetError, WeightsError
from common.labels import TARGETS
from stage2_classify.__main__ import main
from stage2_classify.calibration import calibrate as command
from stage2_classify.calibration.plain_logistic import cross_fitted_logistic
from stage2_classify.calibration.reliability import reliability
from stage2_classify.predictions import CALIBRATED, read_predictions, read_probabilities

STUDIES = 120


def table(values, uids):
    return pd.DataFrame(values, columns=list(TARGETS), index=pd.Index(uids, name="StudyInstanceUID"))


@pytest.fixture
def files(tmp_path):
    known = simulate("evidence", STUDIES, 5)
    uids = [f"1.2.{n}" for n in range(STUDIES)]
    table(special.expit(known.logits), uids).to_csv(tmp_path / "P.csv")
    labels = table(known.labels.astype(int), uids)
    labels.sample(frac=1, random_state=0)[["patient_overall", *TARGETS[:7]]].to_csv(tmp_path / "L.csv")
    return tmp_path


def call(folder, *more, labels=True):
    given = ["--labels", str(folder / "L.csv")] if labels else []
    output = ["-o", str(folder / "OUT.csv")]
    return main(["calibrate", "--predictions", str(folder / "P.csv"), *given, *output, *map(str, more)])


def spoil(path, change):
    frame = pd.read_csv(path, dtype={"StudyInstanceUID": str})
    change(frame).to_csv(path, index=False)


def test_answers_beat_what_was_given_and_a_rerun_does_nothing(files, capsys, monkeypatch):
    assert call(files, "--n-folds", 3) == 0
    said = capsys.readouterr().out
    answers, labels = read_predictions(files / "OUT.csv"), pd.read_csv(files / "L.csv", index_col=0)
    given = pd.read_csv(files / "P.csv", index_col=0)
    y = labels.loc[answers.index, list(TARGETS)].to_numpy()
    before, after = (row_scores(t[list(TARGETS)].to_numpy(), y).mean() for t in (given, answers))
    assert after < before and f"{before:.4f}" in said and f"{after:.4f}" in said and "plain logistic" in said
    assert list(answers.index) == list(given.index)
    likely = answers[list(CALIBRATED)].to_numpy()
    assert ((likely >= 0) & (likely <= 1)).all() and (likely[:, 7] >= likely[:, :7].max(axis=1)).all()

    def refuse(*_):
        raise AssertionError("nothing was to be done")

    monkeypatch.setattr(command, "cross_fit", refuse)
    assert call(files, "--n-folds", 3) == 0 and capsys.readouterr().out == said


def test_a_kept_fit_is_used_again_without_labels(files, capsys):
    assert call(files, "--n-folds", 2, "--save", files / "M.json") == 0
    assert call(files, "--load", files / "M.json", labels=False) == 0
    assert f"{STUDIES} studies answered" in capsys.readouterr().out
    once = read_predictions(files / "OUT.csv")
    spoil(files / "P.csv", lambda frame: frame.iloc[::-1].head(30))
    assert call(files, "--load", files / "M.json", labels=False) == 0
    again = read_predictions(files / "OUT.csv")
    assert len(again) == 30
    np.testing.assert_allclose(again[list(TARGETS)], once.loc[again.index, list(TARGETS)], atol=2e-6)


def test_folds_from_a_table(files, monkeypatch):
    kept = []

    def spy(logits, labels, present, fold, strengths):
        kept.append(fold)
        return np.full(logits.shape, 0.5), np.full(logits.shape, 0.5)

    monkeypatch.setattr(command, "cross_fit", spy)
    folds = pd.DataFrame({"StudyInstanceUID": [f"1.2.{n}" for n in range(STUDIES)]})
    folds.assign(fold=folds.index % 3).iloc[::-1].to_csv(files / "F.csv", index=False)
    assert call(files, "--folds", files / "F.csv") == 0
    assert len(set(kept[0][::3])) == 1 and len(set(kept[0])) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="C3"), "lacks the columns C3"),
        (lambda f: f.assign(C2=f["C2"].where(f.index != 4)), r"1\.2\.4 has C2 = `nan`.*expected a probability"),
        (lambda f: f.assign(C2=f["C2"].where(f.index != 4, 1.5)), r"1\.2\.4 has C2 = `1\.5`.*not within 0\.\.1"),
        (lambda f: f.assign(C2="high"), r"is no number"),
        (lambda f: pd.concat([f, f.head(1)]), r"1\.2\.0 has more than one row"),
        (lambda f: f.assign(StudyInstanceUID="9." + f["StudyInstanceUID"]), r"120 of 120 studies have no row in"),
        (lambda f: f.head(0), "holds no study"),
        (lambda f: f.head(3), "can't be split into 5 folds"),
    ],
)  # fmt: skip
def test_predictions_that_cannot_be_used_are_refused(files, change, message):
    spoil(files / "P.csv", change)
    with pytest.raises(DatasetError, match=message):
        call(files)
    assert not (files / "OUT.csv").exists()


def test_labels_and_folds_that_cannot_be_used_are_refused(files):
    with pytest.raises(DatasetError, match="--load a fitted calibration"):
        call(files, labels=False)
    (files / "F.csv").write_text("StudyInstanceUID,fold\n1.2.0,1\n")
    with pytest.raises(DatasetError, match=r"119 of 120 studies have no fold, the first is 1\.2\.1"):
        call(files, "--folds", files / "F.csv")
    spoil(files / "L.csv", lambda f: f.assign(patient_overall=1))
    with pytest.raises(DatasetError, match=r"patient_overall = 1, expected the largest of C1\.\.C7"):
        call(files)


def test_a_kept_fit_that_cannot_be_used_is_refused(files):
    with pytest.raises(WeightsError, match="no such file"):
        call(files, "--load", files / "M.json")
    for content in ({}, {"calibration": {"scaling": {}}}, {"calibration": [1]}, {"calibration": None}, []):
        (files / "M.json").write_text(json.dumps(content))
        with pytest.raises(WeightsError, match="not a fitted calibration"):
            call(files, "--load", files / "M.json")


def test_a_fit_of_an_older_version_is_refused_with_what_to_do(files):
    (files / "M.json").write_text(json.dumps({"posterior": {"calibration": {}}, "version": "0.3.0"}))
    with pytest.raises(WeightsError, match=r"M\.json.*up to 0\.3\.0 wrote.*fit it again"):
        call(files, "--load", files / "M.json")


def test_save_and_load_exclude_each_other(files):
    with pytest.raises(SystemExit):
        call(files, "--save", "a.json", "--load", "b.json")


def test_certain_predictions_are_read(files):
    spoil(files / "P.csv", lambda f: f.assign(C1=0.0, C7=1.0))
    assert read_probabilities(files / "P.csv")["C7"].eq(1).all()
    assert call(files, "--n-folds", 2) == 0
    assert np.isfinite(read_predictions(files / "OUT.csv")[list(TARGETS)]).all(axis=None)


def test_plain_logistic_by_hand_and_reliability():
    x = np.repeat([[0.0], [1.0]], 40, axis=0) * np.ones(8)
    y = np.zeros_like(x)
    y[:10], y[40:70] = 1, 1
    fold = np.arange(80) % 2
    p = cross_fitted_logistic(x, y, fold)
    assert p[:40] == pytest.approx(0.25, abs=0.01) and p[40:] == pytest.approx(0.75, abs=0.01)
    low, high = reliability(p, y)
    assert (low.count, high.count) == (320, 320) and low.found == 0.25 and high.found == 0.75
