"""Weights for pictures, ImageNet's say, as a beginning for an encoder of a library.

Kernels are inflated to 3D (Carreira & Zisserman 2017): repeated along the third axis and divided by how often, so that
a volume which is one picture all along that axis is seen as the picture was.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import WeightsError
from stage2_classify.networks.library import OF_TIMM

if TYPE_CHECKING:
    from torch import Tensor, nn

GREY = 3
"""Channels of a picture; a CT is a picture whose three are the same."""


def load_pictures(path: Path) -> "dict[str, Tensor]":
    """The tensors of a safetensors file; WeightsError when it isn't a whole one."""
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:
        raise WeightsError(f"{path}: not a whole safetensors file ({error}); copy it again") from None


def begin_from_pictures(encoder: "nn.Module", name: str, pictures: "dict[str, Tensor]", path: Path) -> None:
    """Gives the library's part of a `Vertebra3d`, called `name` there, the weights of the same network for `pictures`,
    by the library's names of them. The first kernels look at the CT as at a grey picture; what looks at the other
    inputs stays as drawn, and so does what comes after the library's maps. Raises WeightsError when some of the
    network's tensors aren't there, or of another size.
    """
    import torch
    from segmentation_models_pytorch_3d.utils.convert_weights import convert_2d_weights_to_3d

    inflated = convert_2d_weights_to_3d(dict(pictures))
    own = encoder.library.encoder.state_dict()
    theirs = {key: inflated.get(key.removeprefix("model.") if name.startswith(OF_TIMM) else key) for key in own}
    first = next(key for key, value in own.items() if value.ndim == 5)
    if theirs[first] is not None and theirs[first].ndim == 5 and theirs[first].shape[1] == GREY:
        grey = theirs[first].sum(dim=1, keepdim=True)
        if grey.shape[2:] == own[first].shape[2:] and len(grey) == len(own[first]):
            theirs[first] = torch.cat([grey, own[first][:, 1:]], dim=1)
    wrong = [key for key, value in own.items() if theirs[key] is None or theirs[key].shape != value.shape]
    if wrong:
        found = "is missing" if theirs[wrong[0]] is None else f"is {tuple(theirs[wrong[0]].shape)} when inflated"
        raise WeightsError(
            f"{path}: aren't the weights of {name} for pictures: of its {len(own)} tensors {len(wrong)} don't fit, "
            f"{wrong[0]} {found}, expected {tuple(own[wrong[0]].shape)}; name another file, or set "
            "encoder.start_from=null"
        )
    for key, value in own.items():
        value.copy_(theirs[key])
