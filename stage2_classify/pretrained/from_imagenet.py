"""Weights for pictures, ImageNet's say, as a beginning for an encoder of a library.

Kernels are inflated to 3D (Carreira & Zisserman 2017): repeated along the third axis and divided by how often, so that
a volume which is one picture all along that axis is seen as the picture was.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import WeightsError
from stage2_classify.networks.library_encoders import OF_TIMM

if TYPE_CHECKING:
    from torch import Tensor, nn

GREY = 3
"""Channels of a picture; a CT is a picture whose three are the same."""


def begin_from_imagenet(encoder: "nn.Module", name: str, pictures: "dict[str, Tensor]", path: Path) -> None:
    """Gives the library's part of a `Vertebra3d`, called `name` there, the weights of the same network for `pictures`,
    by the library's names of them. The first kernels look at the CT as at a grey picture; what looks at the other
    inputs stays as drawn, and so does what comes after the library's maps. Raises WeightsError when some of the
    network's tensors aren't there, or of another size.
    """
    from segmentation_models_pytorch_3d.utils.convert_weights import convert_2d_weights_to_3d

    within = "model." if name.startswith(OF_TIMM) else ""
    inflated = convert_2d_weights_to_3d(dict(pictures))
    own = encoder.get_submodule("library.encoder").state_dict()
    theirs = {key: inflated.get(key.removeprefix(within)) for key in own}
    first = next(key for key, value in own.items() if value.ndim == 5)
    theirs[first] = _of_grey(theirs[first], own[first])
    wrong = [key for key, value in own.items() if theirs[key] is None or theirs[key].shape != value.shape]
    if wrong:
        found = "is missing" if theirs[wrong[0]] is None else f"is {tuple(theirs[wrong[0]].shape)} when inflated"
        raise WeightsError(
            f"{path}: aren't the weights of {name} for pictures: of its {len(own)} tensors {len(wrong)} don't fit, "
            f"{wrong[0]} {found}, expected {tuple(own[wrong[0]].shape)}; name another file, or set "
            "encoder.init_from=null"
        )
    for key, value in own.items():
        value.copy_(theirs[key])


def _of_grey(kernels: "Tensor | None", drawn: "Tensor") -> "Tensor | None":
    """First kernels for pictures (C, 3, X, Y, Z) -> what sees a grey one, and the `drawn` kernels of the other inputs;
    unchanged when they aren't of that kind or of another size."""
    import torch

    if kernels is None or kernels.shape != (len(drawn), GREY, *drawn.shape[2:]):
        return kernels
    return torch.cat([kernels.sum(dim=1, keepdim=True), drawn[:, 1:]], dim=1)
