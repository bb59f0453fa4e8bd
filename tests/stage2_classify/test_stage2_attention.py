"""Where a network looks: a network whose answer is known to come from one place, and hits counted by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from stage2_classify.crops.cut import FAR_MM, Crops
from stage2_classify.evaluation.attention import METHODS, attend
from stage2_classify.evaluation.attention_plot import draw_attention, levels_to_show
from stage2_classify.evaluation.pointing_game import peaks_of, summary
from stage2_classify.networks import build
from stage2_classify.predictor import Predictor
from stage2_classify.settings import ClassifySettings, NetworkSettings

SHAPE = (32, 24, 16)
BRIGHT = (20, 8, 4)


def study(has_boxes=True):
    """Level C3 alone in view; its mask fills the crop's middle, one corner of it (BRIGHT) is dense."""
    images = np.zeros((7, 2, *SHAPE), np.uint8)
    images[2, 1, 4:28, 4:20, 2:14] = 255
    images[2, 0] = 60
    x, y, z = BRIGHT
    images[2, 0, x : x + 4, y : y + 4, z : z + 4] = 255
    distance = np.full((7, 8, 6, 4), FAR_MM, np.uint8)
    distance[2] = 40
    distance[2, x // 4, y // 4, z // 4] = 0
    distance[2, x // 4 + 1, y // 4, z // 4] = 8
    present = np.arange(7) == 2
    return Crops(images, present, np.tile(np.eye(4), (7, 1, 1)), distance if has_boxes else None, {})


class Brightness(nn.Module):
    """An encoder whose single feature is the mean CT of each coarse cell, and whose evidence is its largest."""

    def __init__(self):
        super().__init__()
        self.joined = nn.Identity()

    def forward(self, batch):
        images = batch["images"]
        features = self.joined(nn.functional.avg_pool3d(images[:, :1], 4))
        local = features.flatten(1)
        near = (nn.functional.max_pool3d(images[:, 1:], 4) > 0.25).flatten(1)
        evidence = torch.where(near, local, -1).amax(dim=1)
        return {
            "embedding": features.flatten(1)[:, :4],
            "evidence": evidence,
            "voxel_logits": local,
            "vertebra_mask": near,
        }


def predictor(encoder=None):
    settings = ClassifySettings(network=NetworkSettings(channels=(4, 8), embedding=4, hidden=4))
    network = build(settings.network, torch.full((8,), 0.1))
    if encoder is not None:
        network.encoder = encoder
    return Predictor(network.eval(), settings, np.full(8, 0.1), "0", torch.device("cpu"))


def test_every_way_finds_the_place_that_the_answer_comes_from():
    attention = attend([predictor(Brightness())], study())
    for method in METHODS:
        assert attention.peak(method, 2) == (5, 2, 1), method
        heat = attention.maps[method]
        assert heat[2].max() == 1 and heat[[0, 1, 3, 4, 5, 6]].max() == 0
        assert (heat[2][~attention.vertebra_mask[2]] == 0).all()
    spread = attention.upsampled("voxel_logits", 2, SHAPE)
    assert spread.shape == SHAPE and spread[:8].max() == 0
    assert spread[21:23, 9:11, 5:7] == pytest.approx(0.875**3)  # an eighth of a cell off its centre on each axis


def test_every_vertebra_of_a_study_has_its_own_map():
    """C5's bright corner lies at the mirrored place of C3's."""
    alone = study()
    images = alone.images.copy()
    images[4] = images[2][:, ::-1]
    both = replace(alone, images=images, present=alone.present | (np.arange(7) == 4))
    attention = attend([predictor(Brightness())], both)
    for method in METHODS:
        assert attention.peak(method, 2) == (5, 2, 1), method
        assert attention.peak(method, 4) == (2, 2, 1), method



def test_the_real_network_is_looked_into_and_left_as_it_was():
    predictor_ = predictor()
    before = predictor_.logits(study(), augmented=False)
    attention = attend([predictor_, predictor_], study())
    assert attention.vertebra_mask[2].any() and not attention.vertebra_mask[0].any()
    assert np.array_equal(predictor_.logits(study(), augmented=False), before)
    assert not predictor_.network.encoder.joined._forward_hooks


def test_a_study_without_a_vertebra_and_another_kind_of_network():
    crops = study()
    empty = Crops(crops.images, np.zeros(7, bool), crops.affines, None, {})
    assert attend([predictor()], empty).maps["voxel_logits"].max() == 0
    other = ClassifySettings(network=NetworkSettings(kind="slices25d"))
    with pytest.raises(ValueError, match="slices25d"):
        attend([Predictor(nn.Identity(), other, np.zeros(8), "0", torch.device("cpu"))], crops)


def test_hits_by_hand():
    crops, labels = study(), np.array([0, 0, 1, 0, 0, 0, 0, 1])
    attention = attend([predictor(Brightness())], crops)
    (peak,) = peaks_of("a", crops, attention, labels)
    assert peak.level == "C3" and peak.distance_mm == dict.fromkeys(METHODS, 0.0)
    places = 6 * 4 * 4  # cells that hold some of the mask: x 4..28, y 4..20, z 2..14 in blocks of 4
    assert peak.chance_level == pytest.approx(2 / places) and peak.inside_chance_level == pytest.approx(1 / places)
    assert peaks_of("a", crops, attention, 0 * labels) == []
    assert peaks_of("a", study(has_boxes=False), attention, labels) == []
    crops.distance[2] = 40
    assert peaks_of("a", crops, attention, labels) == []  # the box is another vertebra's
    missed = [replace(peak, uid="b", distance_mm=dict.fromkeys(METHODS, 30)) for _ in range(3)]
    figures = summary([peak, *missed])
    local = figures["methods"]["voxel_logits"]
    assert (figures["vertebrae"], figures["studies"], local["hits"], local["inside"]) == (4, 2, 0.25, 0.25)
    assert local["interval"] == (0, 1)  # two studies: one all right, the other all wrong


def test_fractured_levels_are_shown_first_then_the_likeliest():
    present = np.ones(7, bool)
    present[6] = False
    p = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.9, 0.9])
    assert levels_to_show(p, None, present) == [3, 4, 5]
    assert levels_to_show(p, np.array([1, 0, 0, 0, 0, 0, 1, 1]), present) == [0, 4, 5]
    png = draw_attention(study(), attend([predictor(Brightness())], study()), [2], ["0.30"])
    assert png.startswith(b"\x89PNG")
