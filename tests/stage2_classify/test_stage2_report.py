"""The report's figures against other implementations and by hand; the page in a real browser where there is one."""

import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score
from small_study import write_ct, write_mask, write_untrained_classifier

from common.config import DataSettings
from common.errors import PARTLY_FAILED, SubmissionError
from common.labels import LEVELS, TARGETS
from common.reading.nifti import read_nifti
from common.reading.selftest.specimens import write_slice
from stage2_classify.evaluation.operating_points import operating_point, operating_points, threshold_for
from stage2_classify.evaluation.roc import aucs, average_precisions, discrimination
from stage2_classify.report.page import make_report, page
from stage2_classify.report.studies import ShownStudy, chosen
from stage2_classify.report.study_pages import page_files
from stage2_classify.run_folder import weights_paths
from stage2_classify.settings import ClassifySettings

CHROMIUM = shutil.which("chromium")
NOTHING = {
    "test": None, "curves": {}, "operating_points": {}, "reliability": {}, "entries": {}, "out_of_fold": {},
    "segmentation": None, "attention": None, "training": {},
}  # fmt: skip


def test_areas_equal_those_of_scikit_learn_with_ties():
    rng = np.random.default_rng(0)
    y = (rng.random((5, 40)) < 0.3).astype(int)
    p = np.round(rng.random((5, 40)) + 0.3 * y, 1)
    assert aucs(p, y) == pytest.approx([roc_auc_score(b, a) for a, b in zip(p, y)])
    assert average_precisions(p, y) == pytest.approx([average_precision_score(b, a) for a, b in zip(p, y)])
    assert np.isnan(aucs(p[0], 0 * y[0])) and aucs(np.array([1.0, 2.0]), np.array([0, 1])) == 1


def test_discrimination_leaves_out_a_target_without_both_classes():
    rng = np.random.default_rng(0)
    y = np.zeros((50, 8))
    y[:, 1] = rng.random(50) < 0.4
    y[:, 7] = y[:, 1]
    p = rng.random((50, 8))
    p[:, 1] = y[:, 1]
    found = discrimination(p, y)
    assert set(found) == {"C2", "patient_overall", "all_vertebrae"}
    assert found["C2"]["auc"] == {"value": 1, "interval": [1, 1]}
    assert found["C2"]["average_precision"]["value"] == 1
    low, high = found["patient_overall"]["auc"]["interval"]
    assert low < found["patient_overall"]["auc"]["value"] < high


def test_operating_points_by_hand():
    p, y = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9]]).T, np.zeros((10, 1))
    threshold = threshold_for(p, y, 0.90)
    assert 0.85 < threshold < 0.86 and (p < threshold).mean() == 0.9
    assert threshold_for(p, 1 + y, 0.9) is None
    point = operating_point(np.array([[0.2, 0.9, 0.95, 0.1]]).T, np.array([[0, 0, 1, 1]]).T, threshold)
    counts = [point[f"{name}s"] for name in ("true_positive", "false_negative", "false_positive", "true_negative")]
    assert counts == [1, 1, 1, 1] and point["sensitivity"]["value"] == 0.5
    # Wilson's interval of 1 out of 2, by his formula with z = 1.959964
    assert point["specificity"]["interval"] == pytest.approx([0.09453, 0.90547], abs=1e-4)
    both = operating_points((p, y), (p, np.ones((10, 1))))
    assert set(both) == {"0.90", "0.95"} and both["0.95"]["specificity"] is None


def test_interval_of_pooled_vertebrae_is_over_studies():
    """Twenty studies of four fractured levels each, which are found in every second study: by Wilson's formula with 80
    independent levels 0.39 to 0.61; over 20 studies wider than 0.30 to 0.70."""
    p = np.repeat([0.9, 0.1], 10)[:, None].repeat(4, axis=1)
    share = operating_point(p, np.ones((20, 4)), 0.5)["sensitivity"]
    low, high = share["interval"]
    assert share["value"] == 0.5 and low <= 0.30 and high >= 0.70


def test_the_worst_the_median_and_the_best_fractured_are_chosen():
    scores = pd.Series(np.linspace(1, 0, 20), index=[f"s{i}" for i in range(20)])
    fractured = pd.Series([0, 1] * 10, index=scores.index)
    picks = chosen(scores, fractured)
    assert [uid for uid, why in picks.items() if why == "worst"] == ["s0", "s1", "s2", "s3"]
    assert picks["s10"] == "median"
    assert [uid for uid, why in picks.items() if why.startswith("best")] == ["s19", "s17", "s15", "s13"]


def shown(uid, score, fractured, flags="", why=""):
    cells = [(target, 0.5, 0.4, int(fractured and target in ("C2", TARGETS[-1]))) for target in TARGETS]
    return ShownStudy(uid, score, cells, flags, why, "data:image/png;base64,AAAA" if why else "")


def test_what_comes_from_files_is_escaped():
    text = page("<script>alert(1)</script>", NOTHING, [shown("<b>1</b>", None, True, "<i>cut off</i>")])
    assert "<script>alert" not in text and "<b>1</b>" not in text and "<i>cut" not in text
    assert "not a medical device" in text and all(level in text for level in LEVELS)
    assert not re.search(r'(src|href)="(?!data:)', text)  # nothing is fetched


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian packages chromium, chromium-driver)")
def test_filter_and_sort_in_a_browser(tmp_path):
    """The page's own script, driven by one that is added to it and writes down what is seen."""
    metrics = {**NOTHING, "test": _figures()}
    studies = [
        shown("1.2.3", 1.5, True, why="worst"), shown("1.2.4", 0.5, False, "C1 cut off"), shown("1.2.5", 0.1, True)
    ]  # fmt: skip
    text = page("data/phantom", metrics, studies)
    drive = """<script>
      const seen = {}, rows = () => [...document.querySelectorAll("#studies tbody")].filter(b => !b.hidden)
        .map(b => b.rows[0].cells[0].textContent);
      const choose = value => { kind.value = value; kind.dispatchEvent(new Event("change")); return rows(); };
      seen.all = rows(); seen.count = document.querySelector("#count").textContent;
      seen.fractured = choose("fractured"); seen.flagged = choose("flagged"); seen.shown = choose("shown"); choose("");
      search.value = "CUT OFF"; search.dispatchEvent(new Event("input")); seen.searched = rows();
      search.value = ""; search.dispatchEvent(new Event("input"));
      const loss = document.querySelectorAll("#studies thead button")[1];
      loss.click(); seen.rising = rows(); loss.click(); seen.falling = rows();
      numbers.value = "calibrated"; numbers.dispatchEvent(new Event("change"));
      seen.calibrated = document.querySelector("td[data-calibrated]").textContent;
      document.querySelector("button.more").click();
      seen.opened = !document.querySelector("tr.more").hidden;
      document.body.innerHTML = `<pre id="seen">${JSON.stringify(seen)}</pre>`;
    </script></body>"""
    file = tmp_path / "report.html"
    file.write_text(text.replace("</body>", drive))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
               "--virtual-time-budget=4000", "--dump-dom", file.as_uri()]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=1800).stdout
    seen = json.loads(re.search(r'<pre id="seen">(.*?)</pre>', dom).group(1))
    one, two, three = "1.2.3", "1.2.4", "1.2.5"
    assert seen == {
        "all": [one, two, three], "count": "3 of 3 studies", "fractured": [one, three], "flagged": [two],
        "shown": [one], "searched": [two], "rising": [three, two, one], "falling": [one, two, three], "opened": True,
        "calibrated": "0.40",
    }  # fmt: skip


@pytest.fixture
def answered(tmp_path):
    """A competition folder of 6 training and 6 test studies, and a run that answered them all but test study t5, whose
    rows of the submission are filled; the 2.5D entry lacks t4 as well."""
    rng = np.random.default_rng(0)
    root, run = tmp_path / "data", tmp_path / "run"
    for folder in (root / "train_images", root / "test_images", run / "stage2" / "slices25d"):
        folder.mkdir(parents=True)
    tables = {}
    for part in ("train", "test"):
        uids = [f"{part[0] if part == 'test' else 'r'}{k}" for k in range(6)]
        y = (rng.random((6, 7)) < 0.3).astype(int)
        y[:2] = [[0] * 7, [1] * 7]
        truth = pd.DataFrame(np.column_stack([y.max(axis=1), y]), columns=["patient_overall", *LEVELS])
        truth.insert(0, "StudyInstanceUID", uids)
        truth.to_csv(root / ("train.csv" if part == "train" else "test_labels.csv"), index=False)
        said = pd.DataFrame(np.round(rng.uniform(0.1, 0.9, (6, 8)), 3), columns=list(TARGETS))
        said.insert(0, "StudyInstanceUID", uids)
        tables[part] = said
    boxes = ["StudyInstanceUID", "x", "y", "width", "height", "slice_number"]
    pd.DataFrame(columns=boxes).to_csv(root / "train_bounding_boxes.csv", index=False)
    asked = [(f"{uid}_{target}", uid, target) for uid in tables["test"]["StudyInstanceUID"] for target in TARGETS]
    frame = pd.DataFrame(asked, columns=["row_id", "StudyInstanceUID", "prediction_type"])
    frame.to_csv(root / "test.csv", index=False)
    filled = tables["test"].set_index("StudyInstanceUID")
    frame["fractured"] = [filled.at[uid, target] for _, uid, target in asked]
    frame[["row_id", "fractured"]].to_csv(run / "submission.csv", index=False)
    calibrated = tables["test"][list(TARGETS)].add_prefix("calibrated_") / 2
    pd.concat([tables["test"], calibrated], axis=1)[:5].to_csv(run / "stage2" / "test.csv", index=False)
    tables["test"][:4].to_csv(run / "stage2" / "slices25d" / "test.csv", index=False)
    pd.concat([tables["train"], tables["train"][:1].assign(StudyInstanceUID="gone")]).to_csv(
        run / "stage2" / "out_of_fold.csv", index=False
    )
    return DataSettings(root=root, run=run)


@pytest.mark.slow
def test_a_run_in_which_studies_failed_is_still_reported(answered):
    assert make_report(answered, ClassifySettings()) == 0
    metrics = json.loads((answered.run / "metrics.json").read_text())
    assert metrics["test"]["studies"] == 6
    assert [metrics["entries"][kind]["studies"] for kind in ("vertebra3d", "slices25d")] == [5, 4]
    assert metrics["entries"]["vertebra3d"]["ours_less_this"]["value"] == pytest.approx(0)
    assert metrics["out_of_fold"]["vertebra3d"]["studies"] == 6  # "gone" has no labels
    assert {name: bins["studies"] for name, bins in metrics["reliability"].items()} == {
        "after, calibrated": 5, "as submitted": 6,
    }  # fmt: skip
    assert metrics["attention"] is None and len(metrics["studies"]) == 6
    worst = max(metrics["studies"], key=lambda study: study["score"])
    assert metrics["studies"][0] == worst


def test_a_study_with_a_page_of_its_own_is_a_link_to_it(answered):
    (answered.root / "test_labels.csv").unlink()
    make_report(answered, ClassifySettings())
    assert "<a " not in (answered.run / "report.html").read_text()
    (answered.run / "pages").mkdir()
    (answered.run / "pages" / "t2.html").write_text("a page")
    make_report(answered, ClassifySettings())
    text = (answered.run / "report.html").read_text()
    assert re.findall(r'<a href="(.*?)">(.*?)</a>', text) == [("pages/t2.html", "t2")]


def test_pages_are_made_of_the_studies_that_are_shown(answered, tmp_path, capsys):
    """t0 has a scan and a mask; of the others nothing can be shown."""
    ct = read_nifti(write_ct(tmp_path / "ct.nii.gz"))  # axes R, A, S; a slice's columns run to the left, rows back
    for k in range(24):
        where = answered.root / "test_images" / "t0" / f"{k}.dcm"
        write_slice(where, ct.array[::-1, ::-1, k].T.copy(), (-92, -92, 4 * k), spacing=(4.0, 4.0))
    (answered.run / "masks").mkdir()
    write_mask(answered.run / "masks" / "t0.nii.gz")
    settings = ClassifySettings()
    for weights in weights_paths(answered, settings):
        weights.parent.mkdir(parents=True, exist_ok=True)
        write_untrained_classifier(weights)
    assert make_report(answered, settings, with_pages=True) == PARTLY_FAILED
    assert [path.name for path in page_files(answered)] == ["t0.html"]
    page_of_t0 = (answered.run / "pages" / "t0.html").read_text()
    assert "Study t0" in page_of_t0 and 'data-layer="evidence"' in page_of_t0
    assert re.findall(r'data-level="(C\d)" disabled', page_of_t0) == ["C1", "C7"]
    text = (answered.run / "report.html").read_text()
    assert re.findall(r'<a href="(.*?)">', text) == ["pages/t0.html"] and "t1: no page" in capsys.readouterr().err
    before = (answered.run / "pages" / "t0.html").stat().st_mtime_ns
    make_report(answered, settings, with_pages=True)
    assert (answered.run / "pages" / "t0.html").stat().st_mtime_ns == before


@pytest.mark.slow
def test_the_report_follows_what_it_shows(answered):
    make_report(answered, ClassifySettings())
    page_file = answered.run / "report.html"
    first = page_file.read_text()
    page_file.write_text("touched")
    make_report(answered, ClassifySettings())
    assert page_file.read_text() == first
    labels = pd.read_csv(answered.root / "train.csv")
    labels.loc[0, ["C3", "patient_overall"]] = 1
    labels.to_csv(answered.root / "train.csv", index=False)
    make_report(answered, ClassifySettings())
    assert page_file.read_text() != first


def test_where_the_truth_is_not_known_and_without_a_submission(answered):
    (answered.root / "test_labels.csv").unlink()
    assert make_report(answered, ClassifySettings()) == 0
    text = (answered.run / "report.html").read_text()
    assert "Training studies, each predicted by a network" in text and "Operating points" not in text
    (answered.run / "submission.csv").unlink()
    with pytest.raises(SubmissionError, match="no submission yet"):
        make_report(answered, ClassifySettings())


def _figures():
    numbers = {"studies": 3, "positive_studies": 2, "score": 0.7, "best_constant_score": 0.8, "macro_auc": 0.6}
    return {**numbers, "score_interval": (0.1, 1.0), "difference_interval": (-0.2, 0.1), "below_best_constant": 0.1,
            "macro_auc_interval": None}  # fmt: skip
