"""A local map on predictions: numbers by hand, levels and patient fit together, what it belongs to, and `predict`."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import special
from small_study import write_ct, write_mask, write_untrained_classifier

from common.errors import ConfigError, WeightsError
from common.labels import LEVELS, TARGETS
from common.outputs import store
from common.reading.study import read_study
from stage2_classify.__main__ import main
from stage2_classify.calibration.local_map import IDENTITY, LocalMap, load_local_map, mapped, moved_alike
from stage2_classify.inference.classifier import Classifier
from stage2_classify.inference.result import NOT_JUDGED
from stage2_classify.pretrained.for_people import independent

ALL, C7_OUT = np.ones((1, 7), bool), np.arange(7)[None] != 6
LOWER = np.array([[-np.log(2), 1.0], [-np.log(3), 1.0]])
"""Odds of a level are halved, those of the patient divided by three."""


def test_a_map_by_hand():
    p = np.array([[0.5, 0.2, 0.1, 0.1, 0.1, 0.1, 0.2, 0.75]])
    # odds 1 -> 1/2, 1/4 -> 1/8, 1/9 -> 1/18; the patient's 3 -> 1
    hand = [1 / 3, 1 / 9, *[1 / 19] * 4, 1 / 9, 0.5]
    np.testing.assert_allclose(mapped(LOWER, p, ALL)[0], hand, rtol=1e-12)
    np.testing.assert_allclose(mapped(IDENTITY, p, ALL), p, rtol=1e-12)
    doubled = mapped(np.array([[0.0, 2.0], [0.0, 1.0]]), p, ALL)[0]  # odds squared
    np.testing.assert_allclose(doubled[:2], [0.5, 1 / 17], rtol=1e-12)
    each = mapped(np.stack([LOWER, IDENTITY]), np.repeat(p, 2, axis=0), np.repeat(ALL, 2, axis=0))
    np.testing.assert_allclose(each, [hand, p[0]], rtol=1e-12)


def test_the_patient_is_never_below_a_judged_level():
    p = np.array([[0.8, *[0.1] * 6, 0.8]])
    found = mapped(np.array([[0.0, 1.0], [-3.0, 1.0]]), p, ALL)[0]
    assert found[7] == found[0] == pytest.approx(0.8)
    rng = np.random.default_rng(0)
    p, judged = rng.random((200, 8)), rng.random((200, 7)) < 0.6
    p[:, 7] = p.max(axis=1)
    for lines in rng.normal([-1, 1], 0.7, (20, 2, 2)):
        found = mapped(lines, p, judged)
        assert (found[:, 7:] >= found[:, :7] - 1e-12).all() and ((found >= 0) & (found <= 1)).all()


def test_levels_that_were_not_judged_stay_as_they_were_and_never_lift_the_patient():
    p = np.array([[0.1, *[0.05] * 5, 0.3, 0.6]])
    found = mapped(LOWER, p, C7_OUT)[0]
    assert found[7] == pytest.approx(1 / 3) and found[6] == 0.3  # the patient's odds 1.5 -> 0.5
    found = mapped(np.array([[-3.0, 1.0], [-3.0, 1.0]]), p, C7_OUT)[0]
    patient = special.expit(special.logit(0.6) - 3)
    assert found[7] == pytest.approx(patient) and found[6] == found[7]  # lowered to the patient, not the patient lifted
    np.testing.assert_array_equal(mapped(LOWER, p, ~ALL), p)  # nothing was judged


def test_what_the_score_rewards_moves_by_the_same_odds():
    before, after = np.full((1, 8), 0.5), np.full((1, 8), 0.2)
    answer = moved_alike(np.full((1, 8), 2 / 3), before, after, ALL)  # odds 2 -> 2 / 4
    np.testing.assert_allclose(answer, 1 / 3, rtol=1e-12)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "calibration.json"
    store.write_json(path, LocalMap(LOWER, ("a", "b"), "d", 60, 20, False, "2026-11-29").to_json())
    return path


def test_a_map_is_kept_and_belongs_to_its_weights_and_decision(saved):
    found = load_local_map(saved, ["b", "a"], "d")
    np.testing.assert_array_equal(found.lines, LOWER)
    assert (found.studies, found.fractured, found.digest) == (60, 20, store.digest_file(saved))
    assert "60 local studies (20 with a fracture) of 2026-11-29" in found.notice and "too few" not in found.notice
    assert "too few to tell" in replace(found, forced=True).notice
    for weights, decision, said in (
        (["a"], "d", r"belongs to weights a, b, found a; predict the local studies again"),
        (["a", "c"], "d", "belongs to weights a, b, found a, c"),
        (["a", "b"], "e", "belongs to decision d, found e"),
        (["a", "b"], None, "have no decision.json"),
    ):
        with pytest.raises(WeightsError, match=said):
            load_local_map(saved, weights, decision)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.pop("schema"), "KeyError"),
        (lambda c: c.update(schema="local calibration 0"), "expected 'local calibration 1'"),
        (lambda c: c["map"]["any"].update(slope=-0.1), "a slope is below 0"),
        (lambda c: c["map"]["any"].update(slope=float("nan")), "is not finite"),
        (lambda c: c["map"].pop("levels"), "KeyError"),
        (lambda c: c["fitted_on"].update(studies="many"), "ValueError"),
        (lambda c: (c.clear(), c.update(calibration={})), "`calibrate --save` makes another kind"),
    ],
)
def test_what_is_no_map_is_refused(saved, change, said):
    content = json.loads(saved.read_text())
    change(content)
    saved.write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=said):
        load_local_map(saved, ["a", "b"], "d")
    saved.write_text("[1, 2")
    with pytest.raises(WeightsError, match="not a local map"):
        load_local_map(saved, ["a", "b"], "d")
    with pytest.raises(WeightsError, match="no such file; `calibrate-locally` writes it"):
        load_local_map(saved.with_name("none.json"), ["a", "b"], "d")


@pytest.fixture
def run(tmp_path):
    """stage2/ of a network that judges levels each alone, calibrated; a scan; a mask with C2 to C6."""
    weights = write_untrained_classifier(tmp_path / "stage2" / "fold0" / "weights.safetensors", synthetic=False)
    content = {"decision": independent(1.0, 0.0).to_json(), "networks": {"0": store.digest_file(weights)}}
    store.write_json(tmp_path / "stage2" / "decision.json", {**content, "settings": {"unjudged": ["thick voxels"]}})
    write_ct(tmp_path / "ct.nii.gz"), write_mask(tmp_path / "mask.nii.gz")
    return tmp_path


def map_of(run, name="calibration.json", **changed):
    weights = store.digest_file(run / "stage2/fold0/weights.safetensors")
    decision = store.digest_file(run / "stage2/decision.json")
    content = LocalMap(LOWER, (weights,), decision, 60, 20, False, "2026-11-29").to_json()
    store.write_json(run / name, content | changed)
    return run / name


def predict(run, *more):
    words = ["-i", run / "ct.nii.gz", "--mask", run / "mask.nii.gz", "-o", run / "r.json", "--weights", run / "stage2"]
    main(["predict", *map(str, [*words, *more])])
    return json.loads((run / "r.json").read_text())


def test_predict_takes_a_map_and_says_so(run, capsys):
    """Voxels of 4 mm aren't judged in this run: without that, levels in view are moved, others stay."""
    decision = json.loads((run / "stage2/decision.json").read_text())
    store.write_json(run / "stage2/decision.json", decision | {"settings": {}})
    shipped = predict(run)
    assert shipped["local_calibration"] is None and shipped["study"] is None
    assert shipped["decision"] == store.digest_file(run / "stage2/decision.json")
    local = predict(run, "--calibration", map_of(run))
    said = local["local_calibration"]
    assert said["fitted_on"] == {"studies": 60, "fractured": 20} and said["forced"] is False
    assert said["digest"] == store.digest_file(run / "calibration.json")
    assert said["calibrated_before"] == shipped["calibrated"]
    before, after = (np.array([of["calibrated"][t] for t in TARGETS])[None] for of in (shipped, local))
    in_view = np.array([[level not in ("C1", "C7") for level in LEVELS]])
    np.testing.assert_allclose(after, mapped(LOWER, before, in_view), atol=2e-6)
    assert (after[0, 1:6] < before[0, 1:6]).all() and after[0, 7] < before[0, 7]
    assert local["probabilities"]["C3"] < shipped["probabilities"]["C3"]
    assert any("60 local studies (20 with a fracture)" in notice for notice in local["notices"])
    assert "60 local studies" in capsys.readouterr().err
    assert store.provenance_of(run / "r.json")["local_map"] == said["digest"]
    by_hand = Classifier.load(run / "stage2", "cpu", calibration=run / "calibration.json")
    again = by_hand(read_study(run / "ct.nii.gz"), run / "mask.nii.gz").to_json()
    assert again["calibrated"] == local["calibrated"] and again["local_calibration"] == said


def test_what_was_not_judged_is_not_judged_with_a_map_either(run):
    shipped, local = predict(run), predict(run, "--calibration", map_of(run))
    assert local["not_judged"] == shipped["not_judged"] == ["C2", "C3", "C4", "C5", "C6"]
    assert any(flag.startswith(NOT_JUDGED) for flag in local["flags"]["C3"])
    assert local["calibrated"] == shipped["calibrated"] and local["probabilities"] == shipped["probabilities"]


def test_predict_refuses_a_map_of_other_weights(run):
    path = map_of(run, belongs_to={"weights": ["0" * 32], "decision": "1" * 32})
    with pytest.raises(WeightsError, match=r"belongs to weights 000000000000, found"):
        predict(run, "--calibration", path)
    assert not (run / "r.json").exists()
    with pytest.raises(WeightsError, match="belongs to weights"):
        Classifier.load(run / "stage2", "cpu", calibration=path)
    with pytest.raises(ConfigError, match="--calibration"):
        main(["predict", "--calibration", str(path)])
