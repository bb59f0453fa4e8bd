"""The network and its sliding window compute what the libraries do that they are modelled on, to the last bit; its loss
and its figures to a rounding."""

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from monai.losses import DiceLoss
from monai.metrics import compute_dice, compute_hausdorff_distance
from scipy import ndimage
from segmentation_models_pytorch_3d.decoders.unet.decoder import UnetDecoder
from segmentation_models_pytorch_3d.encoders.resnet import BasicBlock
from torch import Tensor

from common.masks.values import dice
from common.training.instance_norm import norm_by_instances
from stage1_segment.evaluation.overlap import hd95
from stage1_segment.inference.sliding_window import gaussian, sliding_window
from stage1_segment.inference.windows import padded, windows_about
from stage1_segment.network import Decoder, ResidualBlock, build_network
from stage1_segment.settings import NetworkSettings
from stage1_segment.training.task import dice_loss


@torch.no_grad()
def test_the_decoder_is_smp_s_under_the_same_names() -> None:
    own = Decoder((8, 12, 16), (10, 6, 4))
    theirs = UnetDecoder((9, 8, 12, 16), (10, 6, 4), n_blocks=3, strides=((2, 2, 2),) * 3)
    norm_by_instances(theirs)
    theirs.load_state_dict(own.state_dict())
    maps = [torch.randn(2, channels, side, side, side) for channels, side in ((8, 16), (12, 8), (16, 4))]
    assert torch.equal(own(maps), theirs(torch.zeros(2, 9, 32, 32, 32), *maps))


@torch.no_grad()
@pytest.mark.parametrize("shortcut", [False, True])
def test_a_block_is_smp_s_under_the_same_names(shortcut: bool) -> None:
    def downsample() -> torch.nn.Module | None:
        return torch.nn.Conv3d(6, 10, 1, stride=2, bias=False) if shortcut else None

    size = (6, 10, 2) if shortcut else (6, 6, 1)
    own = ResidualBlock(*size, downsample())
    theirs = BasicBlock(*size, downsample())
    norm_by_instances(theirs)
    theirs.load_state_dict(own.state_dict())
    x = torch.randn(2, 6, 8, 8, 8)
    assert torch.equal(own(x), theirs(x))


def test_the_encoder_halves_at_every_stage_and_widens_as_it_is_told() -> None:
    network = build_network(NetworkSettings(channels=(4, 6, 8), decoder_channels=(6, 4, 4), blocks=2))
    maps = network.encoder(torch.zeros(1, 9, 16, 16, 24))
    assert [tuple(found.shape[1:]) for found in maps] == [(4, 8, 8, 12), (6, 4, 4, 6), (8, 2, 2, 3)]
    assert len(network.encoder.stages) == 2 and all(len(stage) == 2 for stage in network.encoder.stages)


@pytest.mark.parametrize("shape", [(20, 33, 50), (16, 24, 24), (9, 30, 24), (1, 5, 17), (17, 25, 23)])
@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("overlap", [0.5, 0.3, 0.0])
def test_the_sliding_window_is_monai_s(shape: tuple[int, int, int], at_once: int, overlap: float) -> None:
    def predict(windows: Tensor) -> Tensor:
        """Depends on the window as a whole, so that places and padding count."""
        mean = windows.contiguous().mean((2, 3, 4), keepdim=True)
        return torch.cat([windows.flip(2) + mean, windows[:, :1] ** 2], dim=1)

    image, window = torch.randn(2, *shape), (16, 24, 24)
    theirs = sliding_window_inference(
        image[None], window, at_once, predict, overlap, mode="gaussian", padding_mode="constant", cval=0.0
    )[0]
    whole, inside = padded(image, window)
    places = windows_about(torch.ones(whole.shape[1:], dtype=torch.bool), window, overlap, 0)
    own = sliding_window(whole, places, at_once, predict, torch.zeros(3))[(slice(None), *inside)]
    assert own.shape == theirs.shape == (3, *shape)
    assert torch.equal(own, theirs)


def test_the_blending_weight_falls_from_the_middle_as_a_gaussian_does() -> None:
    weight = gaussian((5, 9, 1), torch.device("cpu"))
    assert weight.shape == (5, 9, 1) and weight[2, 4, 0] == 1
    # two cells from the middle of nine: exp(-2^2 / (2 (9 / 8)^2))
    assert float(weight[2, 6, 0]) == pytest.approx(0.2059, abs=1e-4)
    assert float(weight[0, 0, 0]) == pytest.approx(1e-3)  # exp(-5.12 - 6.32) is less than what a weight is at least


def test_the_dice_loss_is_monai_s_and_so_is_its_gradient() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 5, 6, 7, 8, requires_grad=True)
    mask = torch.randint(0, 4, (3, 6, 7, 8))
    mask[2] = 0
    theirs = DiceLoss(
        include_background=False, to_onehot_y=True, softmax=True, reduction="none", smooth_nr=1, smooth_dr=1
    )(logits, mask[:, None]).flatten(1)
    weights = torch.rand_like(theirs)
    (expected,) = torch.autograd.grad((theirs * weights).sum(), logits)
    found, present = dice_loss(logits, mask)
    torch.testing.assert_close(found, theirs, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(torch.autograd.grad((found * weights).sum(), logits)[0], expected, rtol=1e-5, atol=1e-8)
    assert present.tolist() == [[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.4, 0.4, 2.5)])
def test_hd95_and_dice_are_monai_s(spacing: tuple[float, float, float]) -> None:
    """Of bodies with holes, in pieces, and up to the border of the array."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        smooth = ndimage.gaussian_filter(rng.normal(size=(2, 18, 15, 20)), (0, 2, 2, 2))
        one, other = smooth > 0.02
        theirs = [torch.from_numpy(body)[None, None] for body in (one, other)]
        expected = compute_hausdorff_distance(*theirs, include_background=True, percentile=95, spacing=list(spacing))
        assert hd95(one, other, np.array(spacing)) == pytest.approx(float(expected), rel=1e-5)
        assert dice(one, other) == pytest.approx(float(compute_dice(*theirs, include_background=True)))
