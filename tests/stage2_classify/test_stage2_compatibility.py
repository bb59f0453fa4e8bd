"""Stage 2 answers only with weights, crops and a decision that belong together and to the configuration."""

import shutil

import numpy as np
import pytest

from common.config import DataSettings, parse
from common.errors import WeightsError
from common.labels import TARGETS
from common.outputs import store
from stage2_classify.crops import files as crop_files
from stage2_classify.crops.cut import Crops
from stage2_classify.inference.cohort import predict_cohort
from stage2_classify.inference.compatibility import check_alike, check_described, read_decision
from stage2_classify.schema import CROPS
from stage2_classify.settings import ClassifySettings
from stage2_classify.training.train import train

TINY = {
    "crops": {"size_mm": [24, 24, 16]},
    "network": {"channels": [4, 8], "embedding": 8, "hidden": 4},
    "encoder": {"steps": 1, "batch": 2, "workers": 0, "precision": "32-true"},
    "encoder_patch": 16,
    "train": {"steps": 1, "batch": 2, "workers": 0, "precision": "32-true"},
}


def settings(**changed):
    return parse({**TINY, **changed}, ClassifySettings, "test")


def save_crops(data, uid, seed):
    rng = np.random.default_rng(seed)
    images = np.zeros((7, 2, 24, 24, 16), np.uint8)
    images[:, 0] = rng.integers(0, 255, images[:, 0].shape)
    images[:, 1, 6:18, 6:18, 4:12] = 255
    path = crop_files.path_of(data, "vertebra3d", uid)
    crop_files.save(path, Crops(images, np.ones(7, bool), np.tile(np.eye(4), (7, 1, 1)), None, {}))
    store.write_record(path, {}, CROPS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Six training studies and a test study whose crops are there, and the networks of two folds."""
    folder = tmp_path_factory.mktemp("belongs")
    data = DataSettings(root=folder / "data", run=folder / "run", folds=2, workers=1)
    data.root.mkdir()
    rows = [f"1.2.{n},{n % 2},0,{n % 2},0,0,0,0,0\n" for n in range(6)]
    (data.root / "train.csv").write_text(f"StudyInstanceUID,patient_overall,{','.join(TARGETS[:7])}\n" + "".join(rows))
    (data.root / "test.csv").write_text("row_id,StudyInstanceUID,prediction_type\n9.9_C1,9.9,C1\n")
    for n, uid in enumerate([*(f"1.2.{n}" for n in range(6)), "9.9"]):
        save_crops(data, uid, n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crop_files, "make_crops", lambda *_: {})
        assert train(data, settings()) == 0
    return data


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of that run to spoil."""
    monkeypatch.setattr(crop_files, "make_crops", lambda *_: {})
    shutil.copytree(trained.run, tmp_path / "run")
    data = trained.model_copy(update={"run": tmp_path / "run"})
    assert predict_cohort(data, settings()) == 0
    (data.run / "stage2/test.csv").unlink()
    return data


def refused(data, said, **changed):
    with pytest.raises(WeightsError, match=said):
        predict_cohort(data, settings(**changed))
    assert not (data.run / "stage2/test.csv").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"network": {**TINY["network"], "hidden": 6}}, r"their network\.hidden is 4, expected 6"),
        ({"crops": {"size_mm": [24, 24, 20]}}, r"their crops\.size_mm is .*, expected .*20"),
        ({"crops": {**TINY["crops"], "oriented": False}}, r"their crops\.oriented is True, expected False"),
        ({"train": {**TINY["train"], "steps": 2}}, r"their train\.steps is 1, expected 2"),
        ({"loss": {"voxel_weight": 0.5}}, r"their loss\.voxel_weight is 1\.0, expected 0\.5"),
    ],
)
def test_weights_of_another_configuration(run, changed, said):
    refused(run, said, **changed)


def test_how_a_training_is_run_may_differ(run):
    assert predict_cohort(run, settings(train={**TINY["train"], "workers": 1, "checkpoint_every": 7})) == 0


def test_weights_and_crops_of_other_studies(run):
    save_crops(run, "1.2.3", 77)
    refused(run, "not of this configuration and these training studies")


def test_exchanged_weights(run):
    first, second = (run.run / f"stage2/fold{fold}/weights.safetensors" for fold in (0, 1))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    refused(run, "not of this configuration and these training studies")


def test_a_decision_of_another_fit(run):
    path = run.run / "stage2/decision.json"
    refused(run, r"decision\.json: missing, or not fitted", decision={"test_time_augmentation": False})
    refused(run, r"decision\.json: missing, or not fitted", folds=[0])
    content = store.read_json(path)
    store.write_json(path, {**content, "prior": [0.5] * 8})
    refused(run, r"decision\.json: missing, or not fitted")
    path.unlink()
    refused(run, r"decision\.json: missing, or not fitted")


def test_a_decision_reads_only_the_networks_that_it_names(run):
    path = run.run / "stage2/decision.json"
    digests = [store.digest_file(run.run / f"stage2/fold{fold}/weights.safetensors") for fold in (0, 1)]
    calibration, fitted = read_decision(path, digests)
    assert calibration is not None and fitted == settings().decision
    for others in (digests[:1], [*digests, "another"], [digests[0], "another"]):
        with pytest.raises(WeightsError, match="not fitted on the predictions of these weights"):
            read_decision(path, others)
    content = store.read_json(path)
    store.write_json(path, {key: content[key] for key in content if key != "networks"})
    with pytest.raises(WeightsError, match="not fitted on the predictions"):
        read_decision(path, digests)
    assert read_decision(path.with_name("none.json"), digests) == (None, None)


def test_networks_of_other_crops_do_not_answer_together(run, tmp_path):
    from common.training.weights import load_weights, save_weights
    from stage2_classify.predictor import load_predictor

    own = run.run / "stage2/fold0/weights.safetensors"
    check_described([own], settings())
    _, description = load_weights(own)
    crops = {**description["settings"]["crops"], "spacing_mm": 2.0}
    other = {**description, "settings": {**description["settings"], "crops": crops}}
    save_weights(tmp_path / "w.safetensors", load_predictor(own, "cpu").network, other)
    with pytest.raises(WeightsError, match=r"can't predict together: their crops\.spacing_mm is 2\.0, expected 1\.0"):
        check_alike([own, tmp_path / "w.safetensors"])
    network = {**description["settings"]["network"], "kind": "slices25d"}
    other = {**description, "settings": {**description["settings"], "network": network}}
    save_weights(tmp_path / "w.safetensors", load_predictor(own, "cpu").network, other)
    with pytest.raises(WeightsError, match="can't predict together: their kind is slices25d, expected vertebra3d"):
        check_alike([own, tmp_path / "w.safetensors"])
