"""Which network makes a study's mask, and what is said where it had learned from the true one."""

import json

import pytest

from common.outputs.notices import seen_in_training
from common.training.weights import save_weights
from stage1_segment.evaluation.overlap import apart, table
from stage1_segment.inference.choose_network import Network, choose_fold, given_network
from stage1_segment.pretrained import PRETRAINED
from stage1_segment.settings import KIND
from stage2_classify.crops.masks import Masks

FOLDS = {"a": 0, "b": 1, "c": 2, "d": 2, "e": 2}
"""a to d are segmented."""


def networks(*folds, tmp="w"):
    return {k: Network(tmp, frozenset(u for u in "abcd" if FOLDS[u] != k)) for k in folds}


@pytest.mark.parametrize(
    ("trained", "chosen", "seen"),
    [
        ((0, 1, 2), {"a": 0, "b": 1, "c": 2, "d": 2, "e": 2}, set()),
        ((0,), dict.fromkeys("abcde", 0), {"b", "c", "d"}),
        ((2, 1), {"a": 2, "b": 1, "c": 2, "d": 2, "e": 2}, {"a"}),
    ],
)
def test_a_study_gets_a_network_that_has_not_learned_from_it_where_there_is_one(trained, chosen, seen):
    available = networks(*trained)
    assert {uid: choose_fold(uid, FOLDS[uid], available) for uid in "abcde"} == chosen
    assert {uid for uid in "abcde" if available[chosen[uid]].has_seen(uid)} == seen
    assert choose_fold("new", None, available) == trained[0]


def test_weights_from_elsewhere_say_what_they_learned_from(tmp_path):
    import torch

    weights = tmp_path / "w.safetensors"
    save_weights(weights, torch.nn.Linear(1, 1), {"kind": KIND, "learned": ["a", "b"]})
    assert [given_network(weights).has_seen(uid) for uid in "ac"] == [True, False]
    save_weights(weights, torch.nn.Linear(1, 1), {"kind": KIND})
    assert given_network(weights).has_seen("a") is None
    assert choose_fold("a", None, {0: Network(weights, frozenset("a")), 1: given_network(PRETRAINED)}) == 1
    assert given_network(PRETRAINED).has_seen("a") is False


def test_evaluation_never_mixes_what_was_seen():
    def study(dice):
        return {"C2": {"dice": dice, "hd95_mm": 1.0, "centroid_mm": 1.0}}

    studies = {"a": study(0.7), "b": study(0.9), "c": study(0.8)}
    result = apart(studies, {"a": False, "b": True, "c": None}, "held-out")
    assert result["levels"]["all"]["dice"] == 0.7 and list(result["studies"]) == ["a"]
    assert result["seen"]["levels"]["all"]["dice"] == 0.9 and result["unknown"]["levels"]["all"]["dice"] == 0.8
    text = table(result)
    assert "1 held-out studies" in text and "1 seen in training studies" in text and "1 perhaps seen" in text
    only = apart({"b": study(0.9)}, {"b": True}, "held-out")
    assert only["levels"]["all"]["dice"] is None and table(only).startswith("0 held-out studies\n1 seen in training")
    assert apart(studies, dict.fromkeys("abc", False), "test")["seen"] is None


def test_stage_2_reads_what_lies_beside_a_mask(tmp_path):
    masks = Masks(tmp_path, "merged")
    for uid, said in (("a", {"seen_in_training": True}), ("b", {"seen_in_training": None}), ("c", [1]), ("d", None)):
        (tmp_path / f"{uid}.nii.gz").touch()
        if said is not None:
            (tmp_path / f"{uid}.json").write_text(json.dumps(said))
    assert [masks.seen_in_training(uid) for uid in "abcde"] == [True, False, False, False, False]
    assert seen_in_training(tmp_path / "d.nii.gz", unknown=None) is None
