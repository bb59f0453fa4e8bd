"""Every kind of network builds, runs, and treats a level that isn't in view as it should."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from scipy import ndimage
from torch.nn import functional as F

from common.errors import ConfigError, WeightsError
from common.training.instance_norm import norm_by_instances
from common.training.weights import read_tensors
from stage2_classify.networks import build, build_encoder
from stage2_classify.networks.blocks import BONE, MUSCLE, gaps, log_mean_exp, partly_hidden, whereabouts
from stage2_classify.networks.library_encoders import LibraryFeatures
from stage2_classify.networks.sequence import SequenceHead
from stage2_classify.pretrained.encoder import init_path
from stage2_classify.pretrained.from_imagenet import begin_from_imagenet
from stage2_classify.settings import AugmentSettings, ClassifySettings, CropSettings, NetworkSettings
from stage2_classify.training.augment import warp
from stage2_classify.training.synthetic_fractures import add_synthetic_fracture

PRIOR = torch.tensor([0.10, 0.19, 0.05, 0.08, 0.11, 0.18, 0.26, 0.53])


def small(kind):
    return NetworkSettings(kind=kind, channels=(4, 8, 8), embedding=8, hidden=4, slices=5)


def batch(levels=7):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, levels, 2, 16, 16, 12, generator=generator)
    present = torch.ones(2, 7, dtype=torch.bool)
    present[1, 2] = False
    return {"images": images, "present": present, "mask_seen": torch.ones(2, levels)}


@pytest.mark.parametrize("kind", ["vertebra3d", "slices25d"])
def test_absent_level_gets_its_prior_and_its_picture_is_not_looked_at(kind):
    network = build(small(kind), PRIOR).eval()
    a, b = batch(), batch()
    b["images"][1, 2] = 0.0
    b["distance"] = torch.full((2, 7, 4, 4, 3), 7.0)
    with torch.no_grad():
        first, second = network(a), network(b)
    assert first["logits"].shape == (2, 8)
    assert torch.equal(first["logits"], second["logits"])
    assert float(torch.sigmoid(first["logits"][1, 2])) == pytest.approx(0.05, abs=1e-5)
    assert first["voxel_logits"].shape == first["vertebra_mask"].shape == second["distance"].shape
    assert (second["distance"][b["present"]] == 7).all()


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_once_learned_a_vertebra_is_looked_at_by_itself(norm):
    """Of 13 in view; and what is said of each is what the encoder says of all together."""
    network = build(small("vertebra3d").model_copy(update={"norm": norm}), PRIOR)
    network(batch())  # batch normalisation counts
    looked_at, encoder = [], network.eval().encoder
    encoder.register_forward_hook(lambda module, given, answer: looked_at.append(len(given[0]["images"])))
    present = batch()["present"]
    with torch.no_grad():
        found = network(batch())
        together = encoder({name: value[present] for name, value in batch().items() if name != "present"})
    assert looked_at == [1] * 13 + [13]
    for name in ("voxel_logits", "vertebra_mask"):
        torch.testing.assert_close(found[name][present], together[name], atol=1e-5, rtol=1e-5)


def test_encoder_of_a_library_by_its_name():
    settings = small("vertebra3d").model_copy(update={"encoder": "resnet18"})
    network = build(settings, PRIOR).eval()
    assert not any(isinstance(module, torch.nn.BatchNorm3d) for module in network.modules())
    with torch.no_grad():
        both = network(batch())
        one = network({name: value[:1] for name, value in batch().items()})
    assert both["voxel_logits"].shape == (2, 7, 4 * 4 * 3)
    assert torch.allclose(both["logits"][:1], one["logits"], atol=1e-5)
    with pytest.raises(ConfigError, match=r"network.encoder is nothing.*resnet18"):
        build(settings.model_copy(update={"encoder": "nothing"}))
    wrong = [
        ("timm-regnetx_002", "can't be built"),
        ("timm-mobilenetv3_small_100", "doesn't take volumes"),
        ("tu-convnext_tiny", "maps of"),
        ("tu-nothing", "can't be built"),
    ]
    for name, reason in wrong:
        with pytest.raises(ConfigError, match=f"{name}.*{reason}"):
            build(settings.model_copy(update={"encoder": name}))


@pytest.mark.parametrize("name", ["efficientnet-b0", "tu-resnet18", "vgg11"])
def test_maps_of_a_library_that_rounds_in_its_own_way_cover_the_crop(name):
    features = LibraryFeatures(name, 3, 3).eval()
    with torch.no_grad():
        shapes = [tuple(found.shape[2:]) for found in features(torch.rand(1, 3, 20, 17, 10))]
    assert shapes == [(5, 5, 3), (3, 3, 2)]


def test_a_normalisation_that_carries_its_activation_keeps_it():
    class Both(torch.nn.BatchNorm3d):
        def __init__(self):
            super().__init__(2)
            self.act = torch.nn.ReLU()

    network = torch.nn.Sequential(Both())
    norm_by_instances(network)
    x = torch.tensor([-3.0, -1.0, 1.0, 3.0]).view(1, 1, 4, 1, 1).expand(2, 2, 4, 1, 1)
    expected = torch.tensor([0.0, 0.0, 1.0, 3.0]) / 5**0.5  # mean 0, variance 5
    assert torch.allclose(network(x)[0, 0].flatten(), expected, atol=1e-4)
    assert set(network.state_dict()) == {"0.weight", "0.bias"}


def pictures_of(encoder):
    """A picture network's random weights, under the names that its library has for them."""
    generator = torch.Generator().manual_seed(1)
    shapes = {name.removeprefix("model."): value.shape for name, value in encoder.library.encoder.state_dict().items()}
    return {
        name: torch.rand(shape[:4] if len(shape) == 5 else shape, generator=generator) - 0.5
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("name, within", [("resnet18", ""), ("tu-resnet18", "model.")])
def test_an_encoder_begun_with_weights_for_pictures_sees_a_picture_that_goes_all_along_as_they_do(
    name, within, tmp_path
):
    settings = ClassifySettings(network=small("vertebra3d").model_copy(update={"encoder": name}))
    encoder = build_encoder(settings.network, 0)
    weights = encoder.library.encoder.state_dict()
    drawn = weights[f"{within}conv1.weight"].clone()
    path, pictures = tmp_path / "resnet18.safetensors", pictures_of(encoder)
    save_file(pictures, path)
    begins = settings.encoder.model_copy(update={"init_from": str(path)})
    assert init_path(settings.model_copy(update={"encoder": begins})) == path

    begin_from_imagenet(encoder, name, read_tensors(path), path)
    picture = torch.rand(1, 1, 20, 24)
    volume = torch.zeros(1, 3, 20, 24, 16)
    volume[:, 0] = picture[..., None]
    with torch.no_grad():
        seen = F.conv3d(volume, weights[f"{within}conv1.weight"], stride=2, padding=3)
        expected = F.conv2d(picture.expand(-1, 3, -1, -1), pictures["conv1.weight"], stride=2, padding=3)
    assert torch.allclose(seen[..., 4], expected, atol=1e-4)  # a slice whose kernels end within the volume
    assert torch.equal(weights[f"{within}conv1.weight"][:, 1:], drawn[:, 1:])
    deep = weights[f"{within}layer2.0.conv1.weight"]
    assert torch.allclose(deep.sum(dim=-1), pictures["layer2.0.conv1.weight"], atol=1e-5)
    assert torch.equal(weights[f"{within}bn1.weight"], pictures["bn1.weight"])


def test_weights_for_pictures_that_do_not_fit_are_refused(tmp_path):
    settings = ClassifySettings(network=small("vertebra3d").model_copy(update={"encoder": "resnet18"}))
    encoder = build_encoder(settings.network, 0)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    path, pictures = tmp_path / "w.safetensors", pictures_of(encoder)
    lacking = {name: value for name, value in pictures.items() if name != "layer1.0.bn2.weight"}
    with pytest.raises(WeightsError, match=r"w\.safetensors.*1 don't fit, layer1\.0\.bn2\.weight is missing"):
        begin_from_imagenet(encoder, "resnet18", lacking, path)
    other = {**pictures, "conv1.weight": torch.rand(64, 3, 5, 5)}
    with pytest.raises(WeightsError, match=r"conv1\.weight is \(64, 3, 5, 5, 5\)"):
        begin_from_imagenet(encoder, "resnet18", other, path)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())

    save_file(pictures, path)
    own = settings.encoder.model_copy(update={"init_from": str(path)})
    for network in (NetworkSettings(), NetworkSettings(kind="slices25d")):  # the project's own: there are none for them
        with pytest.raises(WeightsError, match="has no description"):
            init_path(ClassifySettings(encoder=own, network=network))


def test_slices_by_a_model_of_timm_begun_with_weights_for_pictures_see_a_grey_picture_as_it_does():
    torch.manual_seed(0)
    picture_model = timm.create_model("resnet18", num_classes=0, global_pool="").eval()
    maps_of = timm.create_model("resnet18", features_only=True, out_indices=(3,)).eval()
    maps_of.load_state_dict(picture_model.state_dict(), strict=False)
    settings = small("slices25d").model_copy(update={"encoder": "resnet18"})
    encoder = build_encoder(settings, 0).eval()
    begin_from_imagenet(encoder, "resnet18", picture_model.state_dict(), Path("r18.safetensors"))
    grey = torch.rand(1, 1, 64, 64)
    stack = torch.cat([grey.expand(-1, 5, -1, -1), torch.full_like(grey, 0.5)], dim=1)  # 0.5: 0 for the model
    with torch.no_grad():
        (expected,) = maps_of(2 * grey.expand(-1, 3, -1, -1) - 1)
        assert torch.allclose(encoder.encoder(stack), expected, atol=1e-4)


def test_slices_by_a_model_of_timm_that_does_not_exist_or_makes_no_maps_are_refused():
    for name, reason in (("nothing", "Unknown model"), ("vit_tiny_patch16_224", "")):
        with pytest.raises(ConfigError, match=f"network.encoder: {name} isn't a CNN of timm for slices.*{reason}"):
            build_encoder(small("slices25d").model_copy(update={"encoder": name}))


def test_a_slice_is_seen_with_its_neighbours_and_is_as_near_to_a_box_as_its_nearest_voxel():
    """Every slice of 12 is as bright as its number. A box is near the first corner of the last four slices."""
    encoder = build_encoder(small("slices25d"), 0).eval()
    shown = []
    encoder.encoder.register_forward_hook(lambda module, given, maps: shown.append((given[0], maps.shape)))
    images = torch.zeros(1, 2, 16, 16, 12)
    images[:, 0] = torch.arange(12.0)
    images[:, 1] = 1
    distance = torch.full((1, 4, 4, 3), 9.0)
    distance[0, 0, 0, 2] = 1
    with torch.no_grad():
        said = encoder({"images": images, "mask_seen": torch.ones(1), "distance": distance})
    stack, maps = shown[0]
    assert stack[:, :5, 3, 3].tolist() == [[m - 2, m - 1, m, m + 1, m + 2] for m in (2, 4, 6, 7, 9)]
    expected = torch.full((5, *maps[2:]), 9.0)
    expected[4, 0, 0] = 1
    assert torch.equal(said["distance"][0], expected.flatten())


def test_slices_look_within_the_vertebra_alone_and_the_mask_can_be_hidden():
    settings = small("slices25d").model_copy(update={"inputs": "ct"})
    encoder = build_encoder(settings, 0).eval()
    images = torch.rand(1, 2, 64, 64, 12)
    images[:, 1] = 0
    images[:, 1, :16, :16] = 1
    other = images.clone()
    other[:, 1, :16, :16] = 0.6  # as much a vertebra to the pooling
    with torch.no_grad():
        first, second = (encoder({"images": x, "mask_seen": torch.ones(1)}) for x in (images, other))
    assert torch.equal(first["evidence"], second["evidence"])


@pytest.mark.parametrize("head, others_too", [("recurrent", True), ("alone", False)])
def test_head_alone_answers_each_level_from_its_own_evidence(head, others_too):
    torch.manual_seed(0)
    network = SequenceHead(small("vertebra3d").model_copy(update={"head": head}), PRIOR).eval()
    if others_too:
        torch.nn.init.ones_(network.level_correction.weight)
    embedding, present = torch.rand(2, 7, 8), torch.ones(2, 7, dtype=torch.bool)
    evidence = torch.zeros(2, 7)
    evidence[1, 3] = 2.0
    with torch.no_grad():
        weak, strong = network(embedding[:1].expand(2, -1, -1), evidence, present)
    assert bool((strong[[0, 1, 2, 4, 5, 6]] != weak[[0, 1, 2, 4, 5, 6]]).any()) is others_too
    if not others_too:
        odds = PRIOR / (1 - PRIOR)
        levels = odds[:7] * torch.exp(evidence[1])
        expected = odds[7] * levels.sum() / odds[:7].sum()  # any: in proportion to the levels' joint odds
        assert torch.allclose(strong, torch.log(torch.cat([levels, expected[None]])), atol=1e-5)


def test_naive_network_starts_at_the_prior():
    network = build(small("naive"), PRIOR).eval()
    with torch.no_grad():
        logits = network(batch(levels=1))["logits"]
    assert torch.allclose(torch.sigmoid(logits), PRIOR.expand(2, 8), atol=1e-5)


def test_same_seed_same_weights():
    a, b, c = (build(small("vertebra3d"), PRIOR, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["encoder.local.weight"], c["encoder.local.weight"])


def test_log_mean_exp_by_hand():
    values = torch.tensor([[0.0, np.log(3.0), 9.0]])
    assert float(log_mean_exp(values, torch.tensor([[True, True, False]]))) == pytest.approx(np.log(2))


def test_gaps_show_thin_dark_places_and_not_edges():
    ct = torch.ones(1, 12, 12, 12)
    ct[:, :, :, 6] = 0.2  # a gap
    assert torch.allclose(gaps(ct)[:, :, :, 6], torch.tensor(0.8)) and gaps(ct)[:, :, :, 3].abs().max() == 0
    edge = torch.ones(1, 12, 12, 12)
    edge[:, :, :, 6:] = 0.2
    assert gaps(edge).abs().max() < 1e-6


@pytest.mark.parametrize("of_bytes", [True, False])
def test_gaps_are_those_of_poolings_in_bytes_and_in_floats(of_bytes: bool) -> None:
    torch.manual_seed(0)
    ct = torch.randint(0, 256, (2, 9, 8, 7)).float() / 255 if of_bytes else torch.randn(2, 9, 8, 7)
    widest = torch.nn.functional.max_pool3d(ct[:, None], 5, 1, 2)
    assert torch.equal(gaps(ct), -torch.nn.functional.max_pool3d(-widest, 5, 1, 2)[:, 0] - ct)


def test_drawn_fracture_changes_bone_only_near_where_it_says():
    images = np.zeros((2, 48, 48, 40), np.uint8)
    images[0], images[1, 16:32, 16:32, 14:26] = 150, 255
    from_bone = ndimage.distance_transform_edt(images[1] == 0)
    for seed in range(20):
        drawn, distance = add_synthetic_fracture(images, 1.0, np.random.default_rng(seed))
        changed = np.argwhere(drawn[0] != images[0])
        assert len(changed) and (drawn[1] == images[1]).all()
        # A fragment moves by less than 8 mm, an edge is soft over two.
        assert from_bone[tuple(changed.T)].max() < 10
        # The picture is one grey: only the gap can be darker, wherever a fragment has gone.
        strongest = np.argwhere(drawn[0].astype(int) < images[0].astype(int) - 30)
        assert len(strongest) and (distance[tuple((strongest // 4).T)] <= 4).all()
    assert add_synthetic_fracture(np.zeros_like(images), 1.0, np.random.default_rng(1)) is None


def test_warp_moves_picture_and_distance_together():
    crops = CropSettings(size_mm=(48, 40, 32))
    images, distance = torch.zeros(1, 2, 48, 40, 32), torch.full((1, 12, 10, 8), 60.0)
    images[:, :, 28:32, 12:16, 16:20], distance[:, 7, 3, 4] = 1.0, 0.0
    settings = AugmentSettings(flip=0, warp=1, shift_mm=6)
    for seed in range(5):
        moved, where = warp(images, distance, np.random.default_rng(seed), settings, crops)
        picture = np.argwhere(moved[0, 0].numpy() > 0.5).mean(axis=0)
        lowest = np.unravel_index(int(where[0].argmin()), where[0].shape)
        assert np.abs(picture - (np.array(lowest) * 4 + 1.5)).max() < 4


def test_a_gap_in_the_mask_is_not_shown():
    whole = torch.zeros(1, 24, 24, 24)
    whole[:, 4:20, 4:20, 4:20] = 1
    broken = whole.clone()
    broken[:, :, :, 9:12] = 0
    broken[:, 5:8] = 0
    assert torch.equal(whereabouts(broken), whereabouts(whole))
    assert whereabouts(whole)[0, 12, 12, 12] == 1 and whereabouts(whole)[0, 0, 0, 0] == 0


def test_what_is_hidden_can_not_be_seen():
    ct, mask = torch.rand(1, 16, 16, 16, generator=torch.Generator().manual_seed(3)), torch.zeros(1, 16, 16, 16)
    mask[:, 5:9, 5:9, 5:9] = 1
    where = whereabouts(mask)
    assert torch.equal(partly_hidden(ct, where, "all"), ct)
    assert (partly_hidden(ct, where, "mask") == MUSCLE).all()
    left = partly_hidden(ct, where, "no_bone")
    assert left.max() <= BONE and (left[mask > 0] == MUSCLE).all()
    soft = (ct <= BONE) & (where == 0)
    assert soft.any() and torch.equal(left[soft], ct[soft])


def test_a_hidden_mask_says_only_where_to_pool():
    torch.manual_seed(0)
    ct = torch.rand(1, 1, 16, 16, 16)
    masks = [torch.zeros(1, 1, 16, 16, 16) for _ in range(2)]
    masks[0][..., :8, :, :], masks[1][..., 8:, :, :] = 1, 1
    for sees, alike in (("ct", True), ("all", False)):
        network = build_encoder(NetworkSettings(channels=(4, 8, 8), embedding=8, inputs=sees)).eval()
        upper, lower = (network({"images": torch.cat([ct, m], dim=1), "mask_seen": torch.ones(1)}) for m in masks)
        assert torch.equal(upper["voxel_logits"], lower["voxel_logits"]) == alike
        assert upper["evidence"] != lower["evidence"]
