"""Where in the bone a fracture is seen, in the scan's world."""

import numpy as np
import torch

from common.volume import Grid
from stage2_classify.crops.cut import Crops
from stage2_classify.inference.evidence_map import evidence_of
from stage2_classify.predictor import Predictor
from stage2_classify.settings import ClassifySettings


class Bright(torch.nn.Module):
    """Voxel logits +10 in the blocks of 4 cells that hold a white cell, -10 elsewhere; the mask says where."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = self

    def get_submodule(self, target: str) -> torch.nn.Module:
        return self

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        ct, mask = (torch.nn.functional.max_pool3d(batch["images"][:, n : n + 1], 4).flatten(1) for n in (0, 1))
        return {"voxel_logits": 20 * (ct > 0.9).float() - 10, "vertebra_mask": mask > 0.5}


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
    one = Predictor(Bright(), ClassifySettings(), np.full(8, 0.5), "", torch.device("cpu"))
    evidence = evidence_of([one], crops, scan)
    found = evidence.map
    assert found.grid.matches(scan) and 0.6 < found.array.max() <= 1
    peak = scan.to_world(np.argwhere(found.array > 0.5))
    assert np.linalg.norm(peak - white, axis=1).max() < 3
    assert np.linalg.norm(peak.mean(axis=0) - white) < 1.6  # within a block of 2 mm
    assert list(evidence.peaks) == ["C4"] and evidence.peaks["C4"].value > 0.99
    assert np.linalg.norm(evidence.peaks["C4"].place - white) < 1.8  # half the diagonal of a block of 2 mm
    nothing = evidence_of([one], Crops(images, np.zeros(7, bool), affines, None, {}), scan)
    assert nothing.map.array.max() == 0 and nothing.peaks == {}
    naive = ClassifySettings(network={"kind": "naive"})
    other = Predictor(Bright(), naive, np.full(8, 0.5), "", torch.device("cpu"))
    assert evidence_of([other], crops, scan) is None
