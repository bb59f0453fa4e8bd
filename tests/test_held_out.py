"""No answer about a study comes from a network, a fit or a prior that has learned from it; and how answers are made."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from small_study import write_ct, write_ground, write_mask
from test_stage2_train import TINY, cohort  # noqa: F401

from common.competition_metric import best_constants
from common.config import DataSettings, parse
from common.dataset.competition import Competition
from common.labels import TARGETS
from common.outputs import store
from stage1_segment.provenance import split
from stage1_segment.settings import SegmentSettings
from stage2_classify import predictor
from stage2_classify.calibration import cross_fit
from stage2_classify.crops import files as crop_files
from stage2_classify.crops.cut import Crops
from stage2_classify.inference.classifier import Classifier
from stage2_classify.predictor import Predictor
from stage2_classify.settings import ClassifySettings, DecisionSettings
from stage2_classify.training import encoder_task, ground_examples, out_of_fold, task, train
from stage2_classify.training.out_of_fold import Seen, fit_decision


def folds_of(data: DataSettings) -> pd.Series:
    return pd.read_csv(data.run / "folds.csv", dtype={"StudyInstanceUID": str}).set_index("StudyInstanceUID")["fold"]


def test_every_study_is_answered_by_the_network_that_was_held_from_it(cohort, monkeypatch):  # noqa: F811
    settings = parse({**TINY, "network": {**TINY["network"], "kind": "naive"}}, ClassifySettings, "test")
    learned, answered, priors = [], {}, []

    class Spy(task.ClassifyTask):
        def __init__(self, kept, left_out, prior, *rest):
            learned.append({example.uid for example in kept})
            assert {example.uid for example in left_out}.isdisjoint(learned[-1])
            assert prior == pytest.approx(best_constants(np.stack([example.labels for example in kept])))
            priors.append(prior)
            super().__init__(kept, left_out, prior, *rest)

    load_network, load_crops = predictor.load_predictor, crop_files.load

    def loads_network(path, *rest):
        answered[path.parent.name] = set()
        return load_network(path, *rest)

    def loads_crops(path):
        if answered:
            answered[list(answered)[-1]].add(path.name.split(".npz")[0])
        return load_crops(path)

    monkeypatch.setattr(task, "ClassifyTask", Spy)
    monkeypatch.setattr(predictor, "load_predictor", loads_network)
    monkeypatch.setattr(out_of_fold.crop_files, "load", loads_crops)
    assert train.train(cohort, settings) == 0

    folds = folds_of(cohort)
    assert len(learned) == len(answered) == 2
    for fold, (kept, (name, left)) in enumerate(zip(learned, answered.items())):
        held_out = set(folds.index[folds == fold])
        assert name == f"fold{fold}" and held_out
        assert left == held_out and kept == set(folds.index) - held_out


def with_scans(data: DataSettings, tmp_path, monkeypatch) -> ClassifySettings:
    """The cohort's studies get scans and masks, and one healthy scan lies in a folder: settings that use them all."""
    folder = write_ground(tmp_path / "grounds")
    (data.run / "masks").mkdir(parents=True)
    for n in range(6):
        write_ct(tmp_path / f"1.2.{n}.nii.gz", seed=n)
        if n != 4:
            write_mask(data.run / "masks" / f"1.2.{n}.nii.gz")
    monkeypatch.setattr(Competition, "images", lambda self, uid: tmp_path / f"{uid}.nii.gz")
    grounds = {"folder": folder, "negatives": 5, "variants": 1, "share": 0.5}
    crops = {**TINY["crops"], "min_volume_mm3": 100}
    encoder = {**TINY["encoder"], "init_from": None}
    return parse({**TINY, "crops": crops, "encoder": encoder, "grounds": grounds}, ClassifySettings, "test")


@pytest.mark.slow
def test_an_encoder_s_grounds_are_of_studies_that_its_fold_learns_from(cohort, tmp_path, monkeypatch):  # noqa: F811
    """Of the six studies 0, 2 and 4 have no fracture; 4 has no mask."""
    settings, seen = with_scans(cohort, tmp_path, monkeypatch), []

    class Spy(encoder_task.EncoderTask):
        def __init__(self, examples, settings, grounds, held_out):
            seen.append({example.uid for example in grounds})
            assert {example.uid.split("/")[0] for example in grounds}.isdisjoint(e.uid for e in held_out)
            super().__init__(examples, settings, grounds, held_out)

    monkeypatch.setattr(encoder_task, "EncoderTask", Spy)
    assert train.train(cohort, settings) == 0
    folds = folds_of(cohort)
    assert len(seen) == 2
    for fold, uids in enumerate(seen):
        names = {"anna", *(uid for uid in ("1.2.0", "1.2.2") if folds[uid] != fold)}
        assert uids == {f"{name}/0000" for name in names}
    assert seen[0] != seen[1]

    labels = Competition.open(cohort.root).train_labels()
    kept = {fold: labels[folds != fold] for fold in (0, 1)}
    recorded = [store.provenance_of(cohort.run / f"stage2/fold{fold}/weights.safetensors") for fold in (0, 1)]
    first = [ground_examples.fold_provenance(kept[fold], cohort, settings)["grounds"] for fold in (0, 1)]
    assert [of["grounds"] for of in recorded] == first

    # Another scan of a study of fold 0 is fold 1's matter alone.
    uid = next(uid for uid in ("1.2.0", "1.2.2") if folds[uid] == 0)
    write_ct(tmp_path / f"{uid}.nii.gz", seed=9)
    ground_examples.make_for_folds(kept, cohort, settings)
    again = [ground_examples.fold_provenance(kept[fold], cohort, settings)["grounds"] for fold in (0, 1)]
    assert again[0] == first[0] and again[1] != first[1]


@pytest.mark.parametrize(
    "without", [{"shuffle_labels": True}, {"encoder": {**TINY["encoder"], "steps": 0}}, {"network": {"kind": "naive"}}]
)
def test_folds_that_train_no_encoder_on_true_labels_have_no_grounds(
    without, cohort, tmp_path, monkeypatch, capsys  # noqa: F811
):  # fmt: skip
    settings = with_scans(cohort, tmp_path, monkeypatch)
    settings = parse({**settings.model_dump(exclude=set(without)), **without}, ClassifySettings, "test")
    labels = Competition.open(cohort.root).train_labels()
    assert ground_examples.make_for_folds({0: labels}, cohort, settings) == ({0: []}, {})
    assert "notice: grounds: not used" in capsys.readouterr().err
    assert ground_examples.fold_provenance(labels, cohort, settings) == {}


def test_a_study_s_answer_is_read_by_the_fit_without_its_fold(monkeypatch):
    """Fits are named by the studies that they saw: each study's first logit is its number."""

    def fit(logits, labels, present, strengths):
        assert len(logits) == len(labels) == len(present)
        return frozenset(logits[:, 0].astype(int).tolist())

    monkeypatch.setattr(out_of_fold, "fit_calibration", fit)
    monkeypatch.setattr(cross_fit, "fit_calibration", fit)
    for folds in ([0, 1, 2, 0, 1, 2], [0] * 6):
        seen, half = np.ones(7, bool), np.full(8, 0.5)
        found = [Seen(str(n), fold, np.full(8, float(n)), seen, {}, half) for n, fold in enumerate(folds)]
        whole, each = fit_decision(found, np.zeros((6, 8)), DecisionSettings())
        assert whole == frozenset(range(6))
        assert all(n not in fit for n, fit in enumerate(each))
        if len(set(folds)) > 1:
            assert each[0] == {1, 2, 4, 5} and each[4] == {0, 2, 3, 5}
    few, none = fit_decision(found[:3], np.zeros((3, 8)), DecisionSettings())
    assert few is None and none == [None] * 3
    off, none = fit_decision(found, np.zeros((6, 8)), DecisionSettings(recalibrate=False))
    assert off is None and none == [None] * 6


class Folder:
    """Of a competition what the folds of stage 1 ask for: ten studies, the even ones segmented."""

    root = "data"

    def train_labels(self) -> pd.DataFrame:
        index = pd.Index([f"1.{n}" for n in range(10)], name="StudyInstanceUID")
        return pd.DataFrame(0, index=index, columns=list(TARGETS))

    def segmented(self) -> list[str]:
        return [f"1.{n}" for n in range(0, 10, 2)]


def test_stage_1_s_networks_learn_from_segmented_studies_of_other_folds(tmp_path):
    data = DataSettings(root=tmp_path / "data", run=tmp_path / "run", folds=3)
    parts = split(Folder(), data, SegmentSettings(train_folds=(0, 2)))
    folds = folds_of(data)
    assert sorted(parts) == [0, 2]
    for fold, part in parts.items():
        assert set(part.learned) | set(part.held_out) == set(Folder().segmented())
        assert all(folds[uid] == fold for uid in part.held_out) and all(folds[uid] != fold for uid in part.learned)


@dataclass
class LeftRight:
    """A network whose logits are the mean of the left half and, for the patient, of the right half of C1's picture."""

    def __call__(self, batch):
        picture = batch["images"][:, 0, 0]
        half = picture.shape[1] // 2
        logits = torch.zeros(1, 8)
        logits[0, 0], logits[0, 7] = picture[:, :half].mean(), picture[:, half:].mean()
        return {"logits": logits}


def crops_of(present: bool) -> Crops:
    images = np.zeros((7, 2, 8, 4, 4), np.uint8)
    images[0, 0, :4], images[0, 0, 4:] = 51, 255
    return Crops(images, np.full(7, present), np.tile(np.eye(4), (7, 1, 1)), None, {"C1": ["cut off"]})


def of(prior: float) -> Predictor:
    settings = parse({**TINY, "network": {**TINY["network"], "kind": "naive"}}, ClassifySettings, "test")
    return Predictor(LeftRight(), settings, np.full(8, prior), "digest", torch.device("cpu"))


def test_a_network_s_answer_is_the_mean_over_both_views():
    """Left for right and two cells aside: half of what was bright is left, where darkness was."""
    assert of(0.5).logits(crops_of(True), augmented=False)[[0, 1, 7]] == pytest.approx([0.2, 0, 1.0])
    assert of(0.5).logits(crops_of(True), augmented=True)[[0, 1, 7]] == pytest.approx([0.4, 0, 0.6])


def test_without_a_level_in_view_the_prior_is_the_answer():
    assert of(0.2).logits(crops_of(False), augmented=True) == pytest.approx(np.full(8, np.log(0.2 / 0.8)))
    found = Classifier((of(0.2), of(0.4)), None, augmented=True).predict("1", crops_of(False))
    assert found.probabilities == pytest.approx(np.full(8, 0.3))
    assert found.flags == {"C1": ["cut off"], "patient_overall": ["no level in view, prior"]}
