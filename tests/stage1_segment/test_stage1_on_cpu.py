"""What a CPU computes in shorter ways when the network only predicts is what the plain layers say in 64 bits."""

import pytest
import torch
from torch.nn import functional

from stage1_segment.network import build_network
from stage1_segment.on_cpu import Convolution, InstanceNorm, convolved_at_twice, predicts
from stage1_segment.settings import NetworkSettings

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
SMALL = NetworkSettings(channels=(4, 6, 8), decoder_channels=(6, 5, 4), blocks=2)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def test_only_predictions_of_one_window_in_32_bits_take_the_shorter_ways() -> None:
    x = drawn(1, 3, 4, 4, 4)
    assert not predicts(x)
    with torch.inference_mode():
        assert predicts(x)
        assert not predicts(x.double()) and not predicts(x.expand(2, -1, -1, -1, -1))
        with torch.autocast("cpu", torch.bfloat16):
            assert not predicts(x)


@pytest.mark.parametrize(("stride", "size"), [(1, 3), (2, 3), (2, 1)])
def test_a_convolution(stride: int, size: int) -> None:
    layer, x = Convolution(5, 6, size, stride=stride, padding=size // 2, bias=size == 3), drawn(1, 5, 6, 8, 10)
    with torch.inference_mode():
        found = layer(x)
    torch.testing.assert_close(found.double(), layer.double()(x.double()).detach(), atol=1e-5, rtol=0)


def test_values_far_from_0_are_normalised_as_precisely() -> None:
    layer = InstanceNorm(3, affine=True)
    x = drawn(1, 3, 8, 8, 8) + torch.tensor([0.0, 30.0, -300.0]).view(1, 3, 1, 1, 1)
    torch.nn.init.constant_(layer.weight, 0.7)
    torch.nn.init.constant_(layer.bias, 0.2)
    with torch.inference_mode():
        found = layer(x.contiguous(memory_format=torch.channels_last_3d))
    expected = (x.double() - x.double().mean((2, 3, 4), keepdim=True)) / torch.sqrt(
        x.double().var((2, 3, 4), correction=0, keepdim=True) + 1e-5
    )
    torch.testing.assert_close(found.double(), 0.7 * expected + 0.2, atol=1e-4, rtol=0)


def test_twice_the_resolution_and_a_convolution_in_one_step_up_to_the_edges() -> None:
    x, weight = drawn(1, 5, 3, 4, 5).double(), drawn(6, 5, 3, 3, 3).double()
    plain = functional.conv3d(functional.interpolate(x, scale_factor=2, mode="nearest"), weight, padding=1)
    torch.testing.assert_close(convolved_at_twice(x, weight), plain, atol=1e-12, rtol=0)


def test_the_whole_network() -> None:
    network = build_network(SMALL, seed=5).eval()
    image = torch.stack([drawn(16, 24, 16).abs().clamp(max=1), (drawn(16, 24, 16).abs() * 2).floor() / 8])[None]
    with torch.inference_mode():
        found = network(image)
        pair = network(torch.cat([image, image]))  # as torch itself does it
    plain = network.double()(image.double()).detach()
    torch.testing.assert_close(found.double(), plain, atol=1e-4, rtol=0)
    torch.testing.assert_close(pair[1].double(), plain[0], atol=1e-4, rtol=0)
