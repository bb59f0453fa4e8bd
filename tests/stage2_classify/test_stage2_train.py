"""A tiny training leaves the exact files, its weights predict by themselves, and a second call does nothing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.competition_metric import best_constants
from common.config import DataSettings, parse
from common.errors import ConfigError, DatasetError, WeightsError
from common.labels import TARGETS
from common.outputs import store
from common.training import train as training
from stage2_classify.calibration.fit import fit_calibration
from stage2_classify.crops import files as crop_files
from stage2_classify.crops.cut import Crops
from stage2_classify.pretrained.encoder import init_path
from stage2_classify.settings import ClassifySettings
from stage2_classify.training.samples import Example
from stage2_classify.training.studies import load_examples

TINY = {
    "crops": {"size_mm": [24, 24, 16], "study_shape": [16, 16, 8]},
    "network": {"channels": [4, 8, 8], "embedding": 8, "hidden": 4, "slices": 4},
    "encoder": {"steps": 2, "batch": 2, "workers": 0, "log_every": 1},
    "encoder_patch": 16,
    "train": {"steps": 2, "batch": 2, "workers": 0, "log_every": 1},
}


def study(rng, boxes):
    images = np.zeros((7, 2, 24, 24, 16), np.uint8)
    images[:, 0] = rng.integers(0, 255, images[:, 0].shape)
    images[:, 1, 6:18, 6:18, 4:12] = 255
    present = np.ones(7, bool)
    present[6], images[6] = False, 0
    distance = rng.integers(0, 30, (7, 6, 6, 4)).astype(np.uint8) if boxes else None
    return Crops(images, present, np.tile(np.eye(4), (7, 1, 1)), distance, {"C7": ["not in view"]})


@pytest.fixture
def cohort(tmp_path, monkeypatch):
    """A competition folder of six studies whose crops are already there."""
    rng = np.random.default_rng(0)
    data = DataSettings(root=tmp_path / "data", run=tmp_path / "run", folds=2, workers=1)
    uids = [f"1.2.{n}" for n in range(6)]
    (tmp_path / "data").mkdir()
    rows = [f"{u},{n % 2},0,{n % 2},0,0,0,0,0" for n, u in enumerate(uids)]
    header = "StudyInstanceUID,patient_overall,C1,C2,C3,C4,C5,C6,C7"
    (data.root / "train.csv").write_text("\n".join([header, *rows]) + "\n")
    asked = [f"9.9_{t},9.9,{t}" for t in ("C1", "patient_overall")]
    (data.root / "test.csv").write_text("\n".join(["row_id,StudyInstanceUID,prediction_type", *asked]) + "\n")
    for kind in ("crops", "naive"):
        for n, uid in enumerate([*uids, "9.9"]):
            path = crop_files.path_of(data, kind, uid)
            crops = study(rng, boxes=n == 1)
            if kind == "naive":
                crops = Crops(crops.images[:1], np.ones(7, bool), crops.affines[:1], None, {})
            crop_files.save(path, crops)
            store.write_record(path, {"made": "by the test"})
    monkeypatch.setattr(crop_files, "make_crops", lambda *_: {})
    return data


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vertebra3d", "slices25d", "naive"])
def test_train_predict_submit(cohort, kind, monkeypatch, capsys):
    from stage2_classify.inference.cohort import predict_cohort
    from stage2_classify.inference.submit import submit
    from stage2_classify.training.train import train

    settings = parse({**TINY, "network": {**TINY["network"], "kind": kind}}, ClassifySettings, "test")
    assert train(cohort, settings) == 0
    stage = cohort.run / "stage2" / ("" if kind == "vertebra3d" else kind)
    for fold in ("fold0", "fold1"):
        names = {"weights.safetensors", "weights.safetensors.record.json", "last.pt", "log.jsonl", "csv", "tensorboard"}
        names |= set() if kind == "naive" else {"encoder"}
        assert {path.name for path in (stage / fold).iterdir()} - {".lock"} == names
    lines = (stage / "out_of_fold.csv").read_text().splitlines()
    assert lines[0].startswith("StudyInstanceUID,C1,C2,C3,C4,C5,C6,C7,patient_overall,calibrated_C1,")
    assert lines[0].endswith(",network_patient_overall,flags") and len(lines) == 7
    assert kind == "naive" or lines[1].endswith("C7 not in view")

    assert predict_cohort(cohort, settings) == 0
    assert submit(cohort, settings) == 0
    output = (cohort.run if kind == "vertebra3d" else stage) / "submission.csv"
    assert [line.split(",")[0] for line in output.read_text().splitlines()] == [
        "row_id",
        "9.9_C1",
        "9.9_patient_overall",
    ]

    def refuse(*_, **__):
        raise AssertionError("nothing was to be done")

    monkeypatch.setattr(training, "train", refuse)
    monkeypatch.setattr("stage2_classify.predictor.load_predictor", refuse)
    assert train(cohort, settings) == predict_cohort(cohort, settings) == submit(cohort, settings) == 0


def test_fit_and_prior_stay_inside():
    labels, present = np.zeros((6, 8)), np.ones((6, 7), bool)
    calibration = fit_calibration(np.zeros((6, 8)), labels, present, (1.0,))
    answers = np.array(calibration(np.zeros((6, 8)), present))
    assert ((answers > 0) & (answers < 1)).all() and json.dumps(calibration.to_json(), allow_nan=False)
    assert (best_constants(labels) > 0).all()


def test_without_steps_the_encoder_is_what_it_begins_with(cohort, tmp_path):
    import torch

    from common.training.weights import load_weights
    from stage2_classify.training.pretrain import pretrain, pretrained, train_encoder

    first = parse({**TINY, "encoder": {**TINY["encoder"], "seed": 3}}, ClassifySettings, "test")
    assert pretrain(cohort, first) == 0
    weights = pretrained(cohort, first)
    none = parse({**TINY, "encoder": {"steps": 0, "init_from": str(weights)}}, ClassifySettings, "test")
    begun, learned = train_encoder(tmp_path / "nothing", {}, [], none), load_weights(weights)[0]
    assert begun.keys() == learned.keys() and all(torch.equal(begun[name], learned[name]) for name in begun)
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(ConfigError, match=r"encoder\.steps is 0"):
        pretrain(cohort, none)


def test_an_encoder_is_pretrained_kept_and_begun_with(cohort, tmp_path, monkeypatch, capsys):
    import torch

    from common.training.weights import load_weights
    from stage2_classify.evaluation.compare_evidence import less_other, read_evidence
    from stage2_classify.evaluation.evaluate_encoder import evaluate_encoder, table
    from stage2_classify.pretrained import encoder as pretrained_encoder
    from stage2_classify.training.pretrain import pretrain, pretrained, train_encoder

    def settings(**changes):
        return parse({**TINY, "encoder": {**TINY["encoder"], **changes}}, ClassifySettings, "test")

    monkeypatch.setattr(pretrained_encoder, "PRETRAINED_PHANTOM", tmp_path / "kept" / "weights.safetensors")
    with pytest.raises(WeightsError, match="init_from=null"):
        pretrained_encoder.init_path(settings(init_from="pretrained-phantom"))
    with pytest.raises(WeightsError, match=r"practice: no such .* set encoder\.init_from to pretrained-phantom"):
        pretrained_encoder.init_path(settings(init_from="practice"))

    assert pretrain(cohort, settings()) == 0 and "learned from 6 studies" in capsys.readouterr().out
    own = pretrained(cohort, settings())
    kept_file = pretrained_encoder.set_pretrained(own)
    (made, _), (kept, said) = load_weights(own), load_weights(kept_file, pretrained_encoder.KIND)
    assert all(torch.equal(made[name], kept[name]) for name in made) and "version" in said

    started = settings(init_from="pretrained-phantom", lr=1e-12, weight_decay=0)
    assert pretrained_encoder.init_path(started) == kept_file
    alone = started.model_copy(update={"network": started.network.model_copy(update={"head": "alone", "hidden": 9})})
    assert pretrained_encoder.init_path(alone) == kept_file  # what looks across levels is no part of an encoder
    examples = [Example("1", study(np.random.default_rng(1), True), np.array([1, 0, 0, 0, 0, 0, 0, 1], np.float32))]
    after = train_encoder(tmp_path / "fold", {"a": 1}, examples, started)
    torch.testing.assert_close(after, kept)
    other = train_encoder(tmp_path / "other", {"a": 1}, examples, settings(lr=1e-12, weight_decay=0))
    assert not torch.allclose(other["local.weight"], kept["local.weight"])

    found, evidence, labels = evaluate_encoder(cohort, settings(), own)
    assert found["studies"] == 6 and found["auc"]["C3"] is None and 0 <= found["auc"]["C2"] <= 1
    evidence.to_csv(tmp_path / "evidence.csv")
    found["less_other"] = less_other(evidence, read_evidence(tmp_path / "evidence.csv"), labels)
    assert found["less_other"] == {"studies": 6, "value": 0.0, "interval": [0.0, 0.0]}
    assert "less the other's       +0.000" in table(found)
    assert "C3                 only one class" in table(found)

    wider = parse({**TINY, "network": {**TINY["network"], "embedding": 9}}, ClassifySettings, "test")
    wider = wider.model_copy(update={"encoder": started.encoder})
    with pytest.raises(ConfigError, match="embedding is 8, the configuration's 9"):
        pretrained_encoder.init_path(wider)


def test_what_a_training_begins_with_counts(cohort, tmp_path):
    from stage2_classify.training.pretrain import pretrain, pretrained
    from stage2_classify.training.studies import provenance

    settings = parse(TINY, ClassifySettings, "test")
    labels = pd.DataFrame(0, index=[f"1.2.{n}" for n in range(6)], columns=list(TARGETS))
    assert pretrain(cohort, settings) == 0
    start = {**TINY["encoder"], "init_from": str(pretrained(cohort, settings))}
    started = parse({**TINY, "encoder": start}, ClassifySettings, "test")
    without, with_start = provenance(labels, cohort, settings), provenance(labels, cohort, started)
    assert "start" not in without and {**with_start, "start": None} == {**without, "start": None}


def test_the_configurations_begin_from_the_encoder_that_comes_with_the_project():
    from common.config import load

    for name in ("phantom", "rsna2022"):
        _, settings = load(Path(f"configs/{name}.yaml"), "classify", ClassifySettings, ())
        if settings.encoder.init_from == "pretrained-phantom":
            assert init_path(settings).name == "pretrained-phantom.safetensors"
    assert (
        load(Path("configs/phantom.yaml"), "classify", ClassifySettings, ())[1].encoder.init_from
        == "pretrained-phantom"
    )


def test_shuffled_studies_keep_their_scans_and_exchange_labels_and_boxes(cohort):
    data, settings = cohort, parse({**TINY, "shuffle_labels": True}, ClassifySettings, "test")
    labels = pd.read_csv(data.root / "train.csv", dtype={"StudyInstanceUID": str}).set_index("StudyInstanceUID")
    plain = load_examples(labels, data, settings.model_copy(update={"shuffle_labels": False}))
    mixed = load_examples(labels, data, settings)
    assert [e.crops.present.sum() for e in plain.values()] == [e.crops.present.sum() for e in mixed.values()]
    assert all(np.array_equal(plain[uid].crops.images, mixed[uid].crops.images) for uid in plain)
    assert [uid for uid, e in mixed.items() if e.crops.distance is not None] != ["1.2.1"]
    with_boxes = next(e for e in mixed.values() if e.crops.distance is not None)
    assert np.array_equal(with_boxes.labels, plain["1.2.1"].labels)
    assert sorted(e.labels.sum() for e in mixed.values()) == sorted(e.labels.sum() for e in plain.values())


def test_an_encoder_begins_with_stage_1s_first_layers():
    import torch

    from common.training.weights import load_weights
    from stage2_classify.training.encoder_task import EncoderTask

    path = Path("stage1_segment/weights/pretrained.safetensors")
    encoder = {**TINY["encoder"], "init_from": str(path)}
    examples = [Example("1", study(np.random.default_rng(1), True), np.array([1, 0, 0, 0, 0, 0, 0, 1], np.float32))]

    def task(**network):
        return EncoderTask(examples, parse({**TINY, "encoder": encoder, "network": network}, ClassifySettings, "test"))

    theirs, own = load_weights(path)[0], task(channels=[16, 32, 64]).network.state_dict()
    assert torch.equal(own["stem.0.0.weight"][:, 0], theirs["encoder.stem.0.weight"][:, 0])
    assert torch.equal(own["stages.1.around.1.bias"], theirs["encoder.stages.1.0.downsample.1.bias"])
    # A block of theirs and of ours answer alike.
    from stage1_segment.network import build_network
    from stage1_segment.settings import NetworkSettings

    unet = build_network(NetworkSettings(channels=(16, 32, 64, 128), decoder_channels=(64, 32, 16, 16)))
    unet.load_state_dict(theirs)
    x = torch.rand(1, 16, 8, 8, 8)
    torch.testing.assert_close(
        task(channels=[16, 32, 64]).network.stages[0](x), unet.encoder.stages[0](x), atol=1e-5, rtol=1e-4
    )
    with pytest.raises(ConfigError, match=r"network.channels=\[16, 32, 64\]"):
        task(channels=[24, 48, 96])
    with pytest.raises(ConfigError, match=r"needs network\.inputs=all or ct"):
        task(kind="slices25d", inputs="mask")


def test_less_other_by_hand(tmp_path):
    from stage2_classify.evaluation.compare_evidence import less_other, read_evidence

    # Two studies, C1 fractured in the first, C2 in the second. Right: both above all twelve healthy ones. Other: C2 of
    # the second below all twelve, so that half of the pairs are lost.
    labels = pd.DataFrame(0, index=["a", "b"], columns=list(TARGETS))
    labels.loc["a", "C1"] = labels.loc["b", "C2"] = 1
    right, other = labels.astype(float), labels.astype(float)
    other.loc["b", "C2"] = -1
    found = less_other(right, other, labels)
    assert found["studies"] == 2 and found["value"] == pytest.approx(0.5)
    assert found["interval"] == pytest.approx([0, 1])  # study a alone, study b alone
    with pytest.raises(DatasetError, match="the 0 studies"):
        less_other(right, other.rename(index={"a": "x", "b": "y"}), labels)

    other.rename_axis("StudyInstanceUID").to_csv(tmp_path / "other.csv")
    assert read_evidence(tmp_path / "other.csv").equals(other.rename_axis("StudyInstanceUID"))
    (tmp_path / "other.csv").write_text("StudyInstanceUID,C1\na,0.5\n")
    with pytest.raises(DatasetError, match="no table of evidence"):
        read_evidence(tmp_path / "other.csv")


def test_a_miscounted_study_shows_a_level_as_its_neighbour():
    from stage2_classify.settings import AugmentSettings
    from stage2_classify.training.simulated_label_errors import simulate_label_errors

    crops = study(np.random.default_rng(0), True)  # C7 is not in view
    fractured = np.array([True, False, False, False, False, True, False])
    for seed in range(6):
        seen, broken = simulate_label_errors(
            crops, fractured, np.random.default_rng(seed), AugmentSettings(shifted_levels=1)
        )
        down = seen.present.tolist() == [False] + [True] * 6
        assert down or seen.present.tolist() == [True] * 5 + [False] * 2
        by = 1 if down else -1
        for level in np.flatnonzero(seen.present):
            assert np.array_equal(seen.images[level], crops.images[level - by])
            assert np.array_equal(seen.distance[level], crops.distance[level - by])
            assert broken[level] == fractured[level - by]
    seen, broken = simulate_label_errors(crops, fractured, np.random.default_rng(0), AugmentSettings(missed_level=1))
    assert seen.present.sum() == 5 and not seen.present[6] and (broken == fractured).all() and crops.present.sum() == 6
    assert simulate_label_errors(crops, fractured, np.random.default_rng(0), AugmentSettings())[0] is crops
    alone = replace(crops, present=np.arange(7) == 6)  # C7 alone: it is neither missed nor pushed out
    for seed in range(6):
        seen, _ = simulate_label_errors(
            alone, fractured, np.random.default_rng(seed), AugmentSettings(shifted_levels=1, missed_level=1)
        )
        assert seen.present.sum() == 1


def test_a_miscounted_vertebra_is_learned_from_as_what_it_is():
    from stage2_classify.settings import AugmentSettings, CropSettings
    from stage2_classify.training.samples import Samples

    labels = np.array([1, 0, 0, 0, 0, 1, 0, 1], np.float32)  # C1 and C6
    examples = [Example("1", study(np.random.default_rng(1), True), labels)]
    samples = Samples(examples, AugmentSettings(shifted_levels=1), CropSettings(size_mm=(24, 24, 16)), 0)
    drawn = [samples.sample(n) for n in range(6)]
    assert all(sample["labels"].tolist() == labels.tolist() for sample in drawn)
    seen = {tuple(np.flatnonzero(sample["fractured"] & sample["present"])) for sample in drawn}
    assert seen == {(1, 6), (4,)}  # one further down: C1 stands as C2, C6 as C7; one further up: C6 as C5, C1 gone
