"""What a CPU computes in shorter ways for a single window is what the plain layers say in 64 bits."""

import pytest
import torch
from torch.nn import functional

from stage1_segment.network import build_network
from stage1_segment.on_cpu import Convolution, InstanceNorm, alone_on_cpu, convolved_at_twice, predicts_in_32_bits
from stage1_segment.settings import NetworkSettings

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
SMALL = NetworkSettings(channels=(4, 6, 8), decoder_channels=(6, 5, 4), blocks=2)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def test_which_maps_take_the_shorter_ways() -> None:
    x = drawn(1, 3, 4, 4, 4)
    assert alone_on_cpu(x) and not alone_on_cpu(x.expand(2, -1, -1, -1, -1)) and not alone_on_cpu(x.to("meta"))
    assert not predicts_in_32_bits(x)
    with torch.inference_mode():
        assert predicts_in_32_bits(x) and not predicts_in_32_bits(x.double())
        with torch.autocast("cpu", torch.bfloat16):
            assert not predicts_in_32_bits(x)


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


def test_the_whole_network_in_bfloat16_is_no_further_from_64_bits_than_the_plain_layers() -> None:
    network = build_network(SMALL, seed=5).eval()
    image = drawn(1, 2, 16, 24, 16).abs().clamp(max=1)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found, pair = network(image), network(torch.cat([image, image]))
    plain = network.double()(image.double()).detach()
    assert (found - plain).abs().mean() < 1.2 * (pair[:1] - plain).abs().mean()
    assert (found - plain).abs().max() < 0.1 * plain.std() + (pair[:1] - plain).abs().max()


def test_gradients_of_a_single_window_are_those_of_the_plain_layers() -> None:
    image = torch.stack([drawn(16, 24, 16).abs().clamp(max=1), (drawn(16, 24, 16).abs() * 2).floor() / 8])[None]
    alone, pair = build_network(SMALL, seed=5).double().train(), build_network(SMALL, seed=5).double().train()
    weight = drawn(1, 9, 16, 24, 16).double()
    (alone(image.double()) * weight).sum().backward()
    (pair(torch.cat([image, image]).double()) * weight / 2).sum().backward()
    for (name, one), other in zip(alone.named_parameters(), pair.parameters()):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-8, rtol=1e-6, msg=name)
