"""An encoder of a library initialised with ImageNet weights.

Kernels are inflated to 3D (Carreira & Zisserman 2017): repeated along the third axis and divided by how often, so that
a volume that is one image all along that axis gives the same feature maps as the image.
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
    """Gives the library's part of a `Vertebra3d`, called `name` there, the ImageNet `weights` of the same network, by
    the library's names of them. The first kernels take the CT as a grey image. The kernels of the other inputs keep
    their random weights, and so does what comes after the library's feature maps. Raises WeightsError when some of the
    network's tensors aren't there, or of another size.
    """
    from segmentation_models_pytorch_3d.utils.convert_weights import convert_2d_weights_to_3d

    within = "model." if name.startswith(OF_TIMM) else ""
    inflated = convert_2d_weights_to_3d(dict(weights))
    own = encoder.get_submodule("library.encoder").state_dict()
    theirs = {key: inflated.get(key.removeprefix(within)) for key in own}
    first = next(key for key, value in own.items() if value.ndim == 5)
    theirs[first] = _of_grey(theirs[first], own[first])
    wrong = [key for key, value in own.items() if theirs[key] is None or theirs[key].shape != value.shape]
    if wrong:
        found = "is missing" if theirs[wrong[0]] is None else f"is {tuple(theirs[wrong[0]].shape)} when inflated"
        raise WeightsError(
            f"{path}: aren't ImageNet weights of {name}: of its {len(own)} tensors {len(wrong)} don't fit, "
            f"{wrong[0]} {found}, expected {tuple(own[wrong[0]].shape)}; name another file, or set "
            "encoder.init_from=null"
        )
    for key, value in own.items():
        value.copy_(theirs[key])


def _of_grey(kernels: "Tensor | None", random: "Tensor") -> "Tensor | None":
    """First kernels for images (C, 3, X, Y, Z) -> those for a grey image, and the `random` kernels of the other inputs;
    unchanged when they aren't of that kind or of another size."""
    import torch

    if kernels is None or kernels.shape != (len(random), GREY, *random.shape[2:]):
        return kernels
    return torch.cat([kernels.sum(dim=1, keepdim=True), random[:, 1:]], dim=1)
