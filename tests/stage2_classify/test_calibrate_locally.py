"""`calibrate-locally`: figures by hand and by other implementations, hospitals whose truth is known, faults."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from common.errors import ConfigError, DatasetError, OutputError
from common.labels import LEVELS, TARGETS
from common.outputs import store
from stage2_classify.__main__ import main
from stage2_classify.calibration.fracture_patterns import TARGET_BITS
from stage2_classify.calibration.label_prior import USUAL, prior_of
from stage2_classify.calibration.local_map import IDENTITY, load_local_map, mapped
from stage2_classify.pretrained.for_people import independent
from stage2_classify.recalibration.analysis import analyse
from stage2_classify.recalibration.fit import HOLD, Part, choose_lines, cross_fitted_lines
from stage2_classify.recalibration.lines import fit_lines
from stage2_classify.recalibration.local_studies import LocalStudies, local_studies
from stage2_classify.recalibration.measures import Cells, Measure, chance_calibration_error, measures, resampled
from stage2_classify.recalibration.verdict import judge, widths

SHIPPED = independent(2.0, -2.0)
"""Evidence of a healthy level is N(0, 1), of a fractured one N(2, 1): 2 x evidence - 2 is its log likelihood ratio."""
AT_HOME, ELSEWHERE = 0.0, 0.55
"""What a hospital's scanner adds to all evidence."""


def hospital(studies, shift, seed, judged=None):
    """Predictions by SHIPPED of a hospital whose fractures come as the challenge's do."""
    rng = np.random.default_rng(seed)
    labels = TARGET_BITS[rng.choice(128, studies, p=prior_of(USUAL))]
    evidence = rng.standard_normal((studies, 8)) + 2 * labels + shift
    levels = np.ones((studies, 7), bool) if judged is None else judged
    _, calibrated = SHIPPED(evidence, levels)
    seen = np.column_stack([levels, levels.any(axis=1)])
    return LocalStudies(calibrated, labels, seen, ("w" * 32,), "d" * 32)


def specificity(local, p, threshold):
    return (p[local.labels[:, 7] == 0, 7] < threshold).mean()


# Fits and figures


def test_lines_are_those_of_logistic_regression_and_shrunk_ones_solve_their_equation():
    rng = np.random.default_rng(1)
    given = rng.normal(-1, 2, 300)
    labels = (rng.random(300) < special.expit(0.7 * given - 0.5)).astype(float)
    weights = np.stack([np.ones(300), rng.integers(0, 3, 300)])
    found = fit_lines(given, labels, weights, (1e-9, 1e-9), True)
    for line, weight in zip(found, weights):
        theirs = LogisticRegression(C=1e8, tol=1e-10, max_iter=1000).fit(given[:, None], labels, sample_weight=weight)
        assert line == pytest.approx([theirs.intercept_[0], theirs.coef_[0, 0]], abs=1e-4)
    # 20 of 100 at odds of 1: 100 (expit(a) - 0.2) + a / 2.25 = 0
    labels = np.repeat([1.0, 0.0], [20, 80])
    hand = optimize.brentq(lambda a: 100 * (special.expit(a) - 0.2) + a / 2.25, -5, 5)
    line = fit_lines(np.zeros(100), labels, np.ones((1, 100)), HOLD, False)[0]
    assert line == pytest.approx([hand, 1]) and np.log(0.25) < hand < 0
    # shrunk about the mean of the odds: nothing to learn, nothing moved, wherever they lie
    far = fit_lines(np.array([-4.0, -2.0] * 50), np.zeros(100), np.zeros((1, 100)), HOLD, True)
    assert far[0] == pytest.approx([0, 1])


def test_figures_by_hand():
    """Four patients: 0.1 and 0.8 healthy, 0.6 and 0.9 fractured."""
    cells = Cells(np.array([0.1, 0.6, 0.8, 0.9]), np.array([0.0, 1, 0, 1]), np.arange(4))
    found = measures(cells, resampled(4, 200), (0.5, 0.7))
    hand = {
        "predicted": 0.6,
        "found": 0.5,
        "in_the_large": 0.1,
        "ece": (0.1 + 0.4 + 0.35 * 2) / 4,  # 0.8 and 0.9 share a bin: 0.85 said, 0.5 found
        "log_loss": -np.log(0.9 * 0.6 * 0.2 * 0.9) / 4,
        "auc": 0.75,
        "sensitivity at 0.5": 1.0,
        "specificity at 0.5": 0.5,
        "sensitivity at 0.7": 0.5,
    }
    assert {name: found[name].value for name in hand} == pytest.approx(hand)
    assert all(found[name].low <= found[name].value <= found[name].high for name in hand if name != "ece")
    # both are found: no draw can differ, so Wilson's interval of 2 of 2 (1927): 1 / (1 + z^2 / 2) to 1
    all_found = found["sensitivity at 0.5"]
    assert (all_found.low, all_found.high) == pytest.approx((1 / (1 + 1.959964**2 / 2), 1))
    assert np.isnan(found["slope"].value) and found["slope"].to_json() is None  # two of each are too few


def test_figures_of_many_as_scikit_learn_has_them():
    local = hospital(150, ELSEWHERE, 3)
    cells = Cells.of(local.calibrated[:, :7], local.labels[:, :7], local.judged[:, :7])
    counts = resampled(150, 20)
    found = measures(cells, counts, (0.5,))
    assert found["auc"].value == pytest.approx(roc_auc_score(cells.y, cells.p))
    assert found["log_loss"].value == pytest.approx(log_loss(cells.y, cells.p))
    drawn = [roc_auc_score(cells.y, cells.p, sample_weight=row[cells.study]) for row in counts[1:]]
    assert (found["auc"].low, found["auc"].high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]))
    rounded = Cells(np.round(cells.p, 1), cells.y, cells.study)  # ties
    assert measures(rounded, counts, ())["auc"].value == pytest.approx(roc_auc_score(rounded.y, rounded.p))
    assert counts.sum(axis=1) == pytest.approx(np.full(21, 150)) and (counts[0] == 1).all()


def test_intervals_are_of_patients_not_of_vertebrae():
    """Seven copies of each patient's column say no more than one."""
    local = hospital(60, ELSEWHERE, 4)
    once, seven = (
        measures(
            Cells.of(
                np.repeat(local.calibrated[:, 7:], k, 1), np.repeat(local.labels[:, 7:], k, 1), np.ones((60, k), bool)
            ),
            resampled(60, 300),
            (0.5,),
        )
        for k in (1, 7)
    )
    for name in ("in_the_large", "log_loss", "auc", "specificity at 0.5"):
        assert (seven[name].low, seven[name].high) == pytest.approx((once[name].low, once[name].high)), name


def test_chance_alone_has_a_calibration_error_too():
    """One bin of n patients at 0.5: the mean of |share - 0.5| is about 0.4 / sqrt(n)."""
    few, many = (chance_calibration_error(Cells(np.full(n, 0.5), np.zeros(n), np.arange(n)), 1000) for n in (25, 900))
    assert few == pytest.approx(0.4 / 5, rel=0.07) and many == pytest.approx(0.4 / 30, rel=0.07)


def test_no_study_has_a_say_in_its_own_line():
    local = hospital(60, ELSEWHERE, 5)
    part = Part(special.logit(local.calibrated[:, 7:]), local.labels[:, 7:], local.judged[:, 7:])
    turned = Part(part.given, part.labels.copy(), part.used)
    turned.labels[7] = 1 - turned.labels[7]
    one, other = cross_fitted_lines(part), cross_fitted_lines(turned)
    assert np.array_equal(one[7], other[7]) and not np.array_equal(one, other)


@pytest.mark.parametrize(("slope", "wins"), [(1.0, False), (0.3, True)])
def test_the_slope_is_fitted_where_cross_validation_asks_for_it(slope, wins):
    """Odds that are right, and odds that are three times too sure."""
    rng = np.random.default_rng(6)
    given = rng.normal(0, 3, (300, 1))
    labels = (rng.random((300, 1)) < special.expit(slope * given)).astype(float)
    lines, both = choose_lines(Part(given, labels, np.ones((300, 1), bool)), np.ones((1, 300)))
    assert both.tolist() == [wins]
    assert lines[0, 1] == pytest.approx(slope, abs=0.12 if wins else 0)
    few = choose_lines(Part(given[:30], labels[:30], np.ones((30, 1), bool)), np.ones((1, 30)))
    assert not few[1][0] and few[0][0, 1] == 1  # fewer than 20 of either kind


# Hospitals whose truth is known


@pytest.mark.slow
def test_a_shifted_hospital_gets_a_map_that_holds_on_its_other_studies():
    """At home 94 % specificity, here about 70 % at the same threshold."""
    at_home, many = hospital(20000, AT_HOME, 0), hospital(20000, ELSEWHERE, 1)
    threshold = np.quantile(at_home.calibrated[at_home.labels[:, 7] == 0, 7], 0.94)
    assert specificity(many, many.calibrated, threshold) == pytest.approx(0.70, abs=0.02)
    analysis = analyse(hospital(200, ELSEWHERE, 2), (0.5,), draws=150)
    assert analysis.enough and not analysis.forced and all(v.enough for v in analysis.verdicts.values())
    before = analysis.figures["any"].before["in_the_large"]
    assert before.low > 0.1 and analysis.figures["levels"].before["in_the_large"].low > 0.05
    after = analysis.figures["any"].after["in_the_large"]
    assert after.low < 0 < after.high
    # the truth: evidence is 0.55 too high, log likelihood ratios 1.1
    assert analysis.lines[0] == pytest.approx([-1.1, 1.0], abs=0.25)
    new = mapped(analysis.lines, many.calibrated, many.judged[:, :7])
    for columns in (slice(0, 7), slice(7, 8)):
        found = many.labels[:, columns].mean()
        assert abs(new[:, columns].mean() - found) < 0.2 * abs(many.calibrated[:, columns].mean() - found)
    assert specificity(many, new, threshold) > 0.9


def test_twenty_studies_are_not_enough():
    for seed in range(3):
        analysis = analyse(hospital(20, ELSEWHERE, seed), (0.5,), draws=100)
        assert not analysis.enough
        assert all("keep the shipped probabilities" in verdict.text for verdict in analysis.verdicts.values())
        wide = widths(analysis.figures["any"].before)
        assert any(line.startswith("specificity at 0.5") and "too wide" in line for line in wide)


@pytest.mark.slow
def test_where_nothing_is_off_nothing_is_changed():
    found = [analyse(hospital(100, AT_HOME, seed), (0.5,), draws=100) for seed in range(6)]
    assert sum(analysis.enough for analysis in found) <= 1  # at 95 %
    assert any("keep the shipped" in verdict.text.lower() for verdict in found[0].verdicts.values())


def test_what_was_not_judged_is_neither_counted_nor_fitted():
    judged = np.ones((100, 7), bool)
    judged[:, 6] = False
    local = hospital(100, ELSEWHERE, 7, judged)
    wrong = LocalStudies(local.calibrated.copy(), local.labels, local.judged, local.weights, local.decision)
    wrong.calibrated[:, 6] = 0.001
    one, other = (analyse(of, (0.5,), draws=50) for of in (local, wrong))
    assert "C7" not in one.figures and one.figures["levels"].count == 600
    np.testing.assert_array_equal(one.lines[0], other.lines[0])
    np.testing.assert_array_equal(other.after[:, 6], wrong.calibrated[:, 6])
    assert (one.after[:, 7:] >= one.after[:, :7]).all()


def part_of(fractured, healthy):
    labels = np.repeat([1.0, 0.0], [fractured, healthy])[:, None]
    return Part(np.zeros(labels.shape), labels, np.ones(labels.shape, bool))


@pytest.mark.parametrize(
    ("fractured", "healthy", "change", "enough", "said"),
    [
        (14, 40, Measure(-0.03, -0.09, 0.03), False, "14 studies with a fracture, 40 without. Too few to tell, keep"),
        (14, 40, Measure(-0.03, -0.09, 0.03), False, "about 216 studies would show it"),  # 54 x (0.06 / 0.03)^2
        (14, 40, Measure(-0.05, -0.09, -0.01), True, "Enough for a map of the intercept"),
        (9, 40, Measure(-0.05, -0.09, -0.01), False, "needs 10 studies of either kind"),
        (40, 9, Measure(-0.05, -0.09, -0.01), False, "needs 10 studies of either kind"),
        (0, 40, Measure(-0.9, -1.0, -0.8), False, "Without any study with a fracture nothing can be told"),
        (40, 0, Measure(-0.9, -1.0, -0.8), False, "Without any study without a fracture nothing can be told"),
        (90, 90, Measure(0.001, -0.004, 0.006), False, "gains next to nothing"),
        (90, 90, Measure(0.03, 0.01, 0.06), False, "gains next to nothing"),
    ],
)
def test_verdicts(fractured, healthy, change, enough, said):
    verdict = judge("any", part_of(fractured, healthy), False, change)
    assert verdict.enough is enough and said in verdict.text


# The command


def write(folder, local, **changed):
    """result.json of each study, s000 and so on, and labels.csv."""
    for k, (p, judged) in enumerate(zip(local.calibrated, local.judged)):
        flags = {level: ["not in view"] for level, seen in zip(LEVELS, judged) if not seen}
        content = {"study": None, "calibrated": dict(zip(TARGETS, p.tolist())), "flags": flags, "weights": ["w" * 32]}
        path = folder / "results" / f"s{k:03d}" / "result.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**content, "decision": "d" * 32, "local_calibration": None, **changed}))
    names = pd.Index([f"s{k:03d}" for k in range(len(local.labels))], name="StudyInstanceUID")
    pd.DataFrame(local.labels.astype(int), names, list(TARGETS)).iloc[::-1].to_csv(folder / "labels.csv")


def call(folder, *more):
    given = ["--predictions", folder / "results", "--labels", folder / "labels.csv", "-o", folder / "out"]
    return main(["calibrate-locally", *map(str, [*given, *more])])


def spoil(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_the_command_with_enough_studies(tmp_path, capsys):
    write(tmp_path, hospital(100, ELSEWHERE, 8))
    assert call(tmp_path, "--thresholds", "0.3") == 0
    said, out = capsys.readouterr().out, tmp_path / "out"
    assert "too high here" in said and "specificity at 0.3" in said
    assert f"--calibration {out / 'calibration.json'}" in said
    found = load_local_map(out / "calibration.json", ["w" * 32], "d" * 32)
    assert found.studies == 100 and not found.forced and found.lines[0, 0] < -0.7
    assert (out / "reliability.png").read_bytes().startswith(b"\x89PNG")
    page, figures = (out / "report.html").read_text(), json.loads((out / "figures.json").read_text())
    assert "data:image/png;base64," in page and "Enough for a map" in page and "http" not in page
    assert figures["enough"] and set(figures["figures"]) == {"any", "levels", *LEVELS}
    assert figures["figures"]["any"]["before"]["auc"]["interval"][0] > 0.5
    assert not any("s000" in path.read_text() for path in (out / "calibration.json", out / "figures.json"))


@pytest.mark.slow
def test_a_map_without_enough_studies_is_saved_only_by_force(tmp_path, capsys):
    write(tmp_path, hospital(100, ELSEWHERE, 8))
    assert call(tmp_path) == 0 and (tmp_path / "out" / "calibration.json").is_file()
    for path in (tmp_path / "results").iterdir():
        if path.name >= "s020":
            (path / "result.json").unlink()
    assert call(tmp_path) == 0
    captured = capsys.readouterr()
    assert "No map is saved: the shipped probabilities are kept" in captured.out
    assert "80 labelled studies have no prediction and aren't used (the first: s020)" in captured.err
    assert not (tmp_path / "out" / "calibration.json").exists()  # nor that of the run before
    assert call(tmp_path, "--force") == 0
    found = load_local_map(tmp_path / "out" / "calibration.json", ["w" * 32], "d" * 32)
    assert found.forced and "too few to tell" in found.notice and found.studies == 20


def test_healthy_studies_alone_say_how_far_it_is_off_and_make_no_map(tmp_path, capsys):
    local = hospital(400, ELSEWHERE, 9)
    healthy = local.labels[:, 7] == 0
    write(tmp_path, LocalStudies(local.calibrated[healthy], local.labels[healthy], local.judged[healthy], (), ""))
    assert call(tmp_path, "--force") == 0
    said = capsys.readouterr().out
    assert "0% found" in said and "too high here" in said and "Without any study with a fracture" in said
    assert "--force or not" in said and not (tmp_path / "out" / "calibration.json").exists()
    figures = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert figures["map"] == {"levels": [0, 1], "any": [0, 1]}
    overall = figures["figures"]["any"]["before"]
    assert overall["auc"] is None and overall["slope"] is None and overall["specificity at 0.5"]["value"] < 0.9


def test_predictions_that_a_map_has_been_through_count_as_before_it(tmp_path):
    local = hospital(30, ELSEWHERE, 10)
    write(tmp_path, local)
    plain = local_studies(tmp_path / "results", tmp_path / "labels.csv")
    for path in (tmp_path / "results").rglob("result.json"):
        shipped = json.loads(path.read_text())["calibrated"]
        moved = {"calibrated": dict.fromkeys(TARGETS, 0.5), "local_calibration": {"calibrated_before": shipped}}
        spoil(path, lambda content, moved=moved: content.update(moved))
    again = local_studies(tmp_path / "results", tmp_path / "labels.csv")
    np.testing.assert_array_equal(again.calibrated, plain.calibrated)
    np.testing.assert_allclose(again.calibrated, local.calibrated)
    np.testing.assert_array_equal(again.labels, local.labels)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["calibrated"].update(C3=float("nan")), r"s001/result\.json: a calibrated probability is .*nan"),
        (lambda c: c["calibrated"].pop("C3"), "expected 0..1; predict these studies again"),
        (lambda c: c["calibrated"].update(C3=1.2), "expected 0..1"),
        (lambda c: c.update(calibrated=None), "isn't calibrated"),
        (lambda c: c.pop("decision"), "says no decision, so an older version made it"),
        (lambda c: c.update(weights=["v" * 32]), "made by other weights or another decision"),
        (lambda c: c.update(decision="e" * 32), "made by other weights or another decision"),
        (lambda c: c.update(study="s000"), r"s000 has 2 results, in .*s000 and .*s001; keep one"),
    ],
)
def test_results_that_cannot_be_used_are_refused(tmp_path, change, said):
    write(tmp_path, hospital(4, AT_HOME, 0))
    if said.startswith("s000"):
        (tmp_path / "labels.csv").write_text((tmp_path / "labels.csv").read_text().replace("s001,", "t001,"))
    spoil(tmp_path / "results" / "s001" / "result.json", change)
    with pytest.raises(DatasetError, match=said):
        call(tmp_path)
    assert not (tmp_path / "out").exists()


def test_labels_that_cannot_be_used_are_refused(tmp_path):
    write(tmp_path, hospital(4, AT_HOME, 0))
    table = (tmp_path / "labels.csv").read_text()
    for change, said in (
        (table.replace("s00", "t00"), "none of its 4 studies .* is among the 4 of .*labels.csv"),
        (table.replace("s002,0,", "s002,,").replace("s002,1,", "s002,,"), "s002 has C1 = ``, expected 0 or 1"),
        (table + "s000,0,0,0,0,0,0,0,0\n", "s000 has more than one row"),
    ):
        (tmp_path / "labels.csv").write_text(change)
        with pytest.raises(DatasetError, match=said):
            call(tmp_path)
    (tmp_path / "labels.csv").write_text(table.replace("s00", "t00").replace("t003", "s003"))
    with pytest.raises(DatasetError, match="1 study with predictions and labels tells nothing"):
        call(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"no result\.json below it"):
        local_studies(tmp_path / "empty", tmp_path / "labels.csv")
    with pytest.raises(ConfigError, match=r"--thresholds: 1\.5"):
        call(tmp_path, "--thresholds", "1.5")


def test_a_user_s_file_is_not_replaced(tmp_path):
    write(tmp_path, hospital(4, AT_HOME, 0))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "calibration.json").write_text("mine")
    with pytest.raises(OutputError):
        call(tmp_path)
    assert (tmp_path / "out" / "calibration.json").read_text() == "mine"


def test_a_table_of_predict_with_its_record(tmp_path):
    local = hospital(12, AT_HOME, 0)
    write(tmp_path, local)
    names = pd.Index([f"s{k:03d}" for k in range(12)], name="StudyInstanceUID")
    both = np.hstack([local.calibrated, local.calibrated])
    table = pd.DataFrame(both, names, [*TARGETS, *(f"calibrated_{t}" for t in TARGETS)])
    table["flags"] = ""
    table.loc["s003", "flags"] = "C1 not in view; C7 cut off; C7 not judged, prior: cut off"
    path = tmp_path / "test.csv"
    table.to_csv(path)
    with pytest.raises(DatasetError, match=r"no record of `predict` beside it .*test\.csv\.record\.json"):
        local_studies(path, tmp_path / "labels.csv")
    store.write_record(path, {"weights": ["w" * 32], "decision": "d" * 32})
    found = local_studies(path, tmp_path / "labels.csv")
    assert (found.weights, found.decision) == (("w" * 32,), "d" * 32)
    assert np.argwhere(~found.judged).tolist() == [[3, 0], [3, 6]]
    np.testing.assert_allclose(found.calibrated, local.calibrated)
    table.loc["s004", "calibrated_C2"] = np.nan
    table.to_csv(path)
    with pytest.raises(DatasetError, match=r"s004 has calibrated_C2 = nan, expected 0\.\.1"):
        local_studies(path, tmp_path / "labels.csv")
    table.drop(columns="calibrated_C2").to_csv(path)
    with pytest.raises(DatasetError, match="lacks the columns calibrated_C2"):
        local_studies(path, tmp_path / "labels.csv")


def test_calibrate_on_a_folder_of_results_leads_here(tmp_path):
    write(tmp_path, hospital(4, AT_HOME, 0))
    words = ["--predictions", tmp_path / "results", "--labels", tmp_path / "labels.csv", "-o", tmp_path / "o.csv"]
    with pytest.raises(DatasetError, match="`calibrate-locally` with the same"):
        main(["calibrate", *map(str, words)])


def test_two_studies_are_answered_as_too_few(tmp_path, capsys):
    write(tmp_path, hospital(2, AT_HOME, 0))
    assert call(tmp_path) == 0 and "keep the shipped probabilities" in capsys.readouterr().out


def test_nothing_judged_changes_nothing():
    local = hospital(30, ELSEWHERE, 11, np.zeros((30, 7), bool))
    analysis = analyse(local, (0.5,), draws=20)
    assert analysis.figures == {} and (analysis.lines == IDENTITY).all() and not analysis.enough
