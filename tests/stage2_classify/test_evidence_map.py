"""Where in the bone a fracture is seen, in the scan's world."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from common.config import parse
from common.volume import Grid, Volume
from stage2_classify.crops.cut import Crops
from stage2_classify.inference.evidence_map import Evidence, evidence_of
from stage2_classify.networks import build
from stage2_classify.networks.blocks import VOXEL_START
from stage2_classify.predictor import Predictor
from stage2_classify.settings import ClassifySettings


class Bright(torch.nn.Module):
    """A network with voxel logits +10 in the blocks of 4 cells that hold a white cell, -10 elsewhere; the mask says
    where. `passes` counts."""

    passes = 0

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        self.passes += 1
        images = batch["images"][0]
        ct, mask = (torch.nn.functional.max_pool3d(images[:, n : n + 1], 4).flatten(1) for n in (0, 1))
        return {
            "logits": torch.zeros(1, 8),
            "voxel_logits": (20 * (ct > 0.9).float() - 10)[None],
            "vertebra_mask": (mask > 0.5)[None],
        }


def test_evidence_lies_where_it_was_seen() -> None:
    """A white cell at world (10, -4, 30) of an oblique crop, another outside of the vertebra, a scan of LPS axes."""
    rng = np.random.default_rng(0)
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    crop = Grid.around(np.array([12.0, -2.0, 33.0]), np.array([24.0, 24.0, 16.0]), np.array([0.5, 0.5, 0.5]), axes)
    images = np.zeros((7, 2, *crop.shape), np.uint8)
    white = np.array([10.0, -4.0, 30.0])
    at = tuple(int(n) for n in np.round(crop.to_index(white)))
    images[3, 0][at] = 255
    images[3, 0, 0, 0, 0] = 255
    images[3, 1, 8:40, 8:40, 8:24] = 255
    affines = np.tile(np.eye(4), (7, 1, 1))
    affines[3] = crop.affine
    crops = Crops(images, np.arange(7) == 3, affines, None, {})
    scan = Grid((80, 80, 60), np.array([[-0.6, 0, 0, 30.0], [0, -0.6, 0, 20], [0, 0, 0.8, 10], [0, 0, 0, 1]]))
    network = Bright()
    one = Predictor(network, ClassifySettings(), np.full(8, 0.5), "", torch.device("cpu"))
    even = np.full(7, 0.5)
    evidence = evidence_of([one.look(crops, augmented=True)], crops, even)
    assert network.passes == 2  # of the crops and their mirror images, and none for the map
    found = evidence.on(scan)
    assert found.grid.matches(scan) and 0.6 < found.array.max() <= 1
    peak = scan.to_world(np.argwhere(found.array > 0.5))
    assert np.linalg.norm(peak - white, axis=1).max() < 3
    assert np.linalg.norm(peak.mean(axis=0) - white) < 1.6  # within a block of 2 mm
    assert list(evidence.peaks) == ["C4"] and evidence.peaks["C4"].value > 0.99
    assert np.linalg.norm(evidence.peaks["C4"].place - white) < 1.8  # half the diagonal of a block of 2 mm
    empty = Crops(images, np.zeros(7, bool), affines, None, {})
    nothing = evidence_of([one.look(empty, augmented=True)], empty, even)
    assert nothing.on(scan).array.max() == 0 and nothing.peaks == {}
    naive = ClassifySettings(network={"kind": "naive"})
    other = Predictor(Bright(), naive, np.full(8, 0.5), "", torch.device("cpu"))
    assert evidence_of([other.look(crops, False)], crops, even) is None


def test_a_cell_of_a_map_lies_in_the_middle_of_the_voxels_that_it_covers() -> None:
    """Maps of 4 x 4 x 2 cells in a crop of 16 x 16 x 8 voxels: the first cell's middle is at voxel 1.5."""
    places = np.full((1, 4, 4, 2), -np.inf, np.float32)
    places[0, 1, 2, 0] = np.log(7 / 3)
    present = np.arange(7) == 4
    crops = Crops(np.zeros((7, 2, 16, 16, 8), np.uint8), present, np.tile(np.eye(4), (7, 1, 1)), None, {})
    peak = evidence_of([SimpleNamespace(places=places)], crops, np.full(7, 0.5)).peaks["C5"]
    np.testing.assert_allclose(peak.place, [5.5, 9.5, 1.5])
    assert peak.value == pytest.approx(0.7)


def test_where_maps_of_two_vertebrae_lie_over_each_other_the_larger_evidence_counts() -> None:
    aside = np.eye(4)
    aside[0, 3] = 2
    strong, weak = (Volume(np.full((4, 4, 4), value, np.float32), at) for value, at in ((0.8, np.eye(4)), (0.3, aside)))
    for parts in ({"C3": strong, "C4": weak}, {"C3": weak, "C4": strong}):
        found = Evidence(parts).on(Grid((8, 4, 4), np.eye(4)))
        np.testing.assert_allclose(found.array[:, 1, 2], [0.8, 0.8, 0.8, 0.8, 0.3, 0.3, 0, 0], atol=1e-6)


def test_a_map_says_what_the_level_would_have_if_all_of_it_looked_like_the_place() -> None:
    """A place of twice the odds of its vertebra: of 1 in 10 it makes 2 in 11, of 0.9 it makes 18 in 19; a vertebra
    that looks alike everywhere has the level's own probability everywhere."""
    places = np.full((2, 2, 2, 1), -np.inf, np.float32)
    places[:, 0, 0, 0], places[:, 1, 0, 0] = np.log(2), 0
    crops = Crops(np.zeros((7, 2, 8, 8, 4), np.uint8), np.arange(7) < 2, np.tile(np.eye(4), (7, 1, 1)), None, {})
    parts = evidence_of([SimpleNamespace(places=places)], crops, np.array([0.1, 0.9, 0, 0, 0, 0, 0])).parts
    np.testing.assert_allclose(parts["C1"].array[:, :, 0], [[2 / 11, 0], [0.1, 0]], rtol=1e-5)
    np.testing.assert_allclose(parts["C2"].array[:, :, 0], [[18 / 19, 0], [0.9, 0]], rtol=1e-5)


@pytest.mark.parametrize("top_places", [0, 4])
def test_a_map_is_what_the_encoder_alone_sees_in_the_crops_as_they_are(top_places: int) -> None:
    """Of two networks, C3 and C6 in view: voxel logits against the evidence of the level."""
    rng = np.random.default_rng(1)
    network = {"channels": [4, 8], "embedding": 8, "hidden": 4, "top_places": top_places}
    settings = parse({"network": network}, ClassifySettings, "test")
    present = np.isin(np.arange(7), (2, 5))
    images = np.where(present[:, None, None, None, None], rng.integers(0, 256, (7, 2, 18, 16, 10)), 0).astype(np.uint8)
    crops = Crops(images, present, np.tile(np.eye(4), (7, 1, 1)), None, {})
    expected, seen = [], []
    for seed in (0, 1):
        network = build(settings.network, torch.full((8,), 0.1), seed).eval()
        seen.append(Predictor(network, settings, np.full(8, 0.1), "", torch.device("cpu")).look(crops, augmented=True))
        with torch.inference_mode():
            batch = {"images": torch.from_numpy(images[present]).float() / 255, "mask_seen": torch.ones(2)}
            alone = network.encoder(batch)
        beyond = alone["voxel_logits"] - VOXEL_START - alone["evidence"][:, None] + torch.tensor([[0.0], [np.log(3)]])
        expected.append((beyond.sigmoid() * alone["vertebra_mask"]).reshape(2, 5, 4, 3).numpy())
    parts = evidence_of(seen, crops, np.array([0, 0, 0.5, 0, 0, 0.75, 0])).parts
    assert list(parts) == ["C3", "C6"] and np.abs(expected[0] - expected[1]).max() > 1e-3
    np.testing.assert_allclose([part.array for part in parts.values()], np.mean(expected, axis=0), atol=1e-6)


def test_by_two_threads_it_is_as_by_one() -> None:
    """Of seven vertebrae whose maps overlap."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (7, 2, 48, 40, 32)).astype(np.uint8)
    affines = np.tile(np.diag([0.5, 0.5, 0.5, 1]), (7, 1, 1))
    affines[:, 2, 3] = -np.arange(7) * 9
    crops = Crops(images, np.ones(7, bool), affines, None, {})
    settings = ClassifySettings()
    network = build(settings.network, torch.full((8,), 0.3)).eval()
    one = Predictor(network, settings, np.full(8, 0.3), "", torch.device("cpu"))
    scan = Grid.around([10, 9, -22], [24, 20, 72], 0.8)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            seen = one.look(crops, augmented=True)
            evidence = evidence_of([seen], crops, np.full(7, 0.5))
            assert evidence is not None
            found.append((seen.logits, evidence.on(scan)))
    finally:
        torch.set_num_threads(before)
    (logits, alone), (others, together) = found
    np.testing.assert_allclose(logits, others, atol=1e-5)
    np.testing.assert_allclose(alone.array, together.array, atol=1e-5)
    assert (alone.array > 0).mean() > 0.5
