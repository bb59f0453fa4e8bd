"""An encoder of a library initialised with ImageNet weights.

For volumes, kernels are inflated to 3D (Carreira & Zisserman 2017): repeated along the third axis and divided by how
often, so that a volume that is one image all along that axis gives the same feature maps as the image. For slices they
stay 2D; the first ones are shared out among a slice and its neighbours.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import WeightsError
from stage2_classify.networks.library_encoders import OF_TIMM

if TYPE_CHECKING:
    from torch import Tensor, nn

GREY = 3
"""Channels of an image; a CT is an image whose three are the same."""


def begin_from_imagenet(encoder: "nn.Module", name: str, weights: "dict[str, Tensor]", path: Path) -> None:
    """Gives the library's part of a `Vertebra3d` or a `Slices25d`, called `name` there, the ImageNet `weights` of the
    same network, by the library's names of them. The first kernels take the CT as a grey image: a volume's, or equal
    parts of a slice and its neighbours. Those of the other inputs keep their random weights, and so does what comes
    after the library's feature maps. Raises WeightsError when some of the network's tensors aren't there, or of another
    size.
    """
    part, of_ct, within = "encoder.model", 2 * int(getattr(encoder, "neighbours", 0)) + 1, ""
    if hasattr(encoder, "library"):
        from segmentation_models_pytorch_3d.utils.convert_weights import convert_2d_weights_to_3d

        part, within = "library.encoder", "model." if name.startswith(OF_TIMM) else ""
        weights = convert_2d_weights_to_3d(dict(weights))
    own = encoder.get_submodule(part).state_dict()
    theirs = {key: weights.get(key.removeprefix(within)) for key in own}
    first = next(key for key, value in own.items() if value.ndim >= 4)
    theirs[first] = _of_grey(theirs[first], own[first], of_ct)
    fit = {key: value for key, value in theirs.items() if value is not None and value.shape == own[key].shape}
    wrong = [key for key in own if key not in fit]
    if wrong:
        given = theirs[wrong[0]]
        found = "is missing" if given is None else f"is {tuple(given.shape)}"
        raise WeightsError(
            f"{path}: aren't ImageNet weights of {name}: of its {len(own)} tensors {len(wrong)} don't fit, "
            f"{wrong[0]} {found}, expected {tuple(own[wrong[0]].shape)}; name another file, or set "
            "encoder.init_from=null"
        )
    for key, value in fit.items():
        own[key].copy_(value)


def _of_grey(kernels: "Tensor | None", random: "Tensor", of_ct: int) -> "Tensor | None":
    """First kernels for images (C, 3, ...) -> those for `of_ct` grey images that together are one, and the `random`
    kernels of the other inputs; unchanged when they aren't of that kind or of another size."""
    import torch

    if kernels is None or kernels.shape != (len(random), GREY, *random.shape[2:]):
        return kernels
    grey = kernels.sum(dim=1, keepdim=True) / of_ct
    return torch.cat([grey.expand(-1, of_ct, *random.shape[2:]), random[:, of_ct:]], dim=1)
