"""How an encoder is measured on broken bone, and how that calibrates the network for scans of people."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import special
from small_study import write_ct, write_ground, write_mask

from common.errors import DatasetError, WeightsError
from common.labels import LEVELS, OVERALL
from common.training.weights import save_weights
from stage2_classify.__main__ import main
from stage2_classify.calibration.fracture_patterns import marginals
from stage2_classify.calibration.label_prior import USUAL, prior_of
from stage2_classify.crops.cut import CUT_OFF, THICK, Crops
from stage2_classify.evaluation.broken_bone import areas, as_text, false_alarms, measure
from stage2_classify.grounds.variants import grounds_in
from stage2_classify.inference.classifier import Classifier, _of_judged
from stage2_classify.inference.result import NOT_JUDGED
from stage2_classify.networks import build_encoder
from stage2_classify.prediction import Prediction
from stage2_classify.pretrained import for_people
from stage2_classify.pretrained.encoder import description, load_encoders
from stage2_classify.settings import ClassifySettings, CropSettings

SETTINGS = ClassifySettings(
    crops=CropSettings(size_mm=(32, 32, 32), spacing_mm=2.0, min_volume_mm3=100),
    network={"channels": [4, 8], "embedding": 8, "norm": "batch", "inputs": "ct"},
    encoder={"init_from": None},
)


class Darkness(torch.nn.Module):
    """An encoder whose evidence is how much of a crop is as dark as tissue."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        ct, mask = batch["images"][:, 0], batch["images"][:, 1]
        return {"evidence": ((ct < 0.35) * (mask > 0.5)).sum(dim=(1, 2, 3)).float()}


class Nothing(Darkness):
    """One that sees nothing."""

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"evidence": torch.zeros(len(batch["images"]))}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_ground(tmp_path / "grounds")


def test_every_way_and_kind_is_measured_and_gaps_are_found(folder: Path) -> None:
    table = measure([Darkness()], SETTINGS.crops, grounds_in(folder, "merged"), 2, 0)
    counts = table.groupby(["way", "kind"]).size()
    assert set(table["level"]) == {"C2", "C3", "C4", "C5", "C6"} and set(table["scan"]) == {"anna"}
    pressed = {("drawn", "compressed"), ("drawn", "burst")}
    assert counts[("", "healthy")] == 10 and (counts.drop(list(pressed)) == 10).all() and len(counts) == 9
    assert all(counts[way_and_kind] in (2, 4, 6, 8) for way_and_kind in pressed)  # of C3 to C6, where a body is seen
    again = measure([Darkness()], SETTINGS.crops, grounds_in(folder, "merged"), 2, 0)
    pd.testing.assert_frame_equal(table, again)
    both = measure([Darkness(), Nothing()], SETTINGS.crops, grounds_in(folder, "merged"), 2, 0)
    assert both["evidence"].to_numpy() == pytest.approx(table["evidence"].to_numpy() / 2)
    by_kind = table.groupby("kind")["evidence"].mean()
    assert by_kind["gap"] > by_kind["healthy"]


def table_of(healthy: list[float], gap: list[float]) -> pd.DataFrame:
    rows = [("a", f"C{n % 2 + 3}", "healthy", "", e) for n, e in enumerate(healthy)]
    for way in ("drawn", "apart"):
        for kind in ("hairline", "gap", "displaced"):
            rows += [("a", f"C{n % 2 + 3}", kind, way, e) for n, e in enumerate(gap)]
    return pd.DataFrame(rows, columns=list(for_people.COLUMNS))


def test_areas_are_those_counted_by_hand() -> None:
    """Of the 4 x 2 pairs six have the broken one above, one is a tie: 6.5 / 8."""
    table = table_of([0.0, 1.0, 2.0, 3.0], [2.0, 9.0])
    found = areas(table, draws=50)
    assert [(row["way"], row["kind"]) for row in found[:2]] == [("drawn", "hairline"), ("drawn", "gap")]
    assert all(row["auc"] == pytest.approx(6.5 / 8) and row["count"] == 2 for row in found)
    assert all(row["low"] <= row["auc"] <= row["high"] for row in found)
    assert found[0]["sensitivity"] == 0.5  # 90 % of the healthy ones lie below 2.7
    assert false_alarms(table).loc["a"].tolist() == [1.0, 2.0]
    assert "0.812" in as_text(table)


def test_log_odds_of_two_normal_distributions() -> None:
    """N(0, 1) against N(2, 1): the log likelihood ratio is 2 e - 2."""
    rng = np.random.default_rng(0)
    table = table_of(list(rng.normal(0, 1, 4000)), list(rng.normal(2, 1, 4000)))
    slope, offset = for_people.fit_log_odds(table)
    assert slope == pytest.approx(2, abs=0.1) and offset == pytest.approx(-2, abs=0.1)
    with pytest.raises(DatasetError, match="only one of them"):
        for_people.fit_log_odds(table[table["kind"] == "healthy"])


def test_each_kind_of_fracture_counts_the_same_however_often_it_was_put() -> None:
    rng = np.random.default_rng(1)
    table = table_of(list(rng.normal(0, 1, 200)), list(rng.normal(2, 1, 200)))
    table.loc[table["kind"] == "gap", "evidence"] += 2
    gaps = table[table["kind"] == "gap"]
    more = pd.concat([table, gaps, gaps], ignore_index=True)
    assert for_people.fit_log_odds(more) == pytest.approx(for_people.fit_log_odds(table), rel=1e-3)


def test_levels_judged_alone_are_joined_by_bayes_rule() -> None:
    """No evidence: base rates. Evidence of one level alone: that level's odds are multiplied by it."""
    calibration = for_people.independent(1.0, 0.0)
    usual = marginals(prior_of(USUAL)[None])[0]
    everywhere = np.ones((1, 7), bool)
    answer, calibrated = calibration(np.zeros((1, 8)), everywhere)
    assert calibrated[0] == pytest.approx(usual, abs=1e-9) and answer[0, 7] >= answer[0, :7].max()
    logits = np.zeros((1, 8))
    logits[0, 4] = 3.0
    _, found = calibration(logits, everywhere)
    assert found[0, 4] == pytest.approx(special.expit(special.logit(usual[4]) + 3), abs=1e-9)
    assert found[0, 3] > usual[3] and found[0, 7] > found[0, 4]  # neighbours break together
    low, _ = calibration(np.full((1, 8), -5.0), everywhere)
    assert low[0, 7] < 0.1


@pytest.fixture
def pretrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a network for people, made of an untrained encoder and a table of evidence."""
    encoder = tmp_path / "encoder.safetensors"
    save_weights(encoder, build_encoder(SETTINGS.network), description(SETTINGS))
    table_of([0.0, 1, 2, 1], [3.0, 4, 2, 5]).to_csv(tmp_path / "evidence.csv", index=False)
    monkeypatch.setattr(for_people, "PRETRAINED", tmp_path / "pretrained")
    assert main(["set-pretrained", "--weights", str(encoder), "--evidence", str(tmp_path / "evidence.csv")]) == 0
    return tmp_path / "pretrained"


def test_the_network_for_people_says_what_it_has_not_seen(pretrained: Path, tmp_path: Path) -> None:
    scan, mask, out = write_ct(tmp_path / "ct.nii.gz"), write_mask(tmp_path / "m.nii.gz"), tmp_path / "r.json"
    words = ["predict", "-i", str(scan), "--mask", str(mask), "-o", str(out), "--weights", str(pretrained)]
    assert main(words) == 0
    result = json.loads(out.read_text())
    assert for_people.CAVEAT in result["notice"] and for_people.CAVEAT in result["notices"]
    # voxels of 4 mm show no crack: every level is flagged and has what the prior says
    assert result["flags"]["C4"] == [THICK, f"{NOT_JUDGED}: {THICK}"]
    usual = marginals(prior_of(USUAL)[None])[0]
    assert result["calibrated"]["C4"] == pytest.approx(usual[3], abs=1e-5)
    assert result["calibrated"][OVERALL] == pytest.approx(usual[7], abs=1e-5)


def test_a_flagged_level_is_not_judged_and_the_others_are(pretrained: Path) -> None:
    classifier = Classifier.load(pretrained, "cpu")
    shape = (16, 16, 16)
    images = np.random.default_rng(0).integers(0, 255, (7, 2, *shape)).astype(np.uint8)
    flat = np.tile(np.eye(4), (7, 1, 1))

    def predicted(flags: dict[str, list[str]]) -> tuple[np.ndarray, dict[str, list[str]]]:
        found = classifier.predict("1", Crops(images, np.ones(7, bool), flat, None, flags))
        return np.asarray(found.calibrated), found.flags

    free, no_flags = predicted({})
    held, flags = predicted({"C4": [CUT_OFF], "C5": ["another remark"]})
    assert no_flags == {} and flags == {"C4": [CUT_OFF, f"{NOT_JUDGED}: {CUT_OFF}"], "C5": ["another remark"]}
    assert held[3] != free[3] and LEVELS[3] == "C4"
    assert np.sign(free[4] - 0.08) == np.sign(held[4] - 0.08)


def test_evidence_of_a_level_that_is_not_judged_is_not_shown() -> None:
    flags = {"C2": [CUT_OFF, f"{NOT_JUDGED}: {CUT_OFF}"], "C3": [CUT_OFF]}
    decided = Prediction("1", np.full(8, 0.2), flags, np.linspace(0.1, 0.8, 8))
    np.testing.assert_allclose(_of_judged(decided), [0.1, 0, 0.3, 0.4, 0.5, 0.6, 0.7])
    np.testing.assert_allclose(_of_judged(replace(decided, calibrated=None)), [0.2, 0, *[0.2] * 5])


def test_encoders_of_other_crops_are_refused(pretrained: Path, tmp_path: Path) -> None:
    other = SETTINGS.model_copy(update={"crops": SETTINGS.crops.model_copy(update={"spacing_mm": 1.0})})
    save_weights(tmp_path / "o.safetensors", build_encoder(other.network), description(other))
    with pytest.raises(WeightsError, match=r"o\.safetensors: learned from other crops than .*encoder\.safetensors"):
        load_encoders([tmp_path / "encoder.safetensors", tmp_path / "o.safetensors"])


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("scan,level\na,C3\n")
    with pytest.raises(DatasetError, match=r"t\.csv: is no table of evaluate-broken-bone"):
        for_people.read_table(tmp_path / "t.csv")
