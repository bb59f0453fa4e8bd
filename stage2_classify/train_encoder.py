"""The encoder of vertebrae, trained by itself: within a fold, or once for all from a cohort made to practise on."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import training
from stage2_classify.settings import ClassifySettings
from stage2_classify.shipped_encoder import KIND, description

if TYPE_CHECKING:
    from torch import Tensor

    from stage2_classify.samples import Example


def train_encoder(
    folder: Path, origin: dict[str, Any], examples: "list[Example]", settings: ClassifySettings
) -> "dict[str, Tensor]":
    """Trains an encoder in `folder` from what `start_path` names, unless that is done; returns its weights."""
    from common.weights import load_weights
    from stage2_classify.encoder_task import EncoderTask

    if not training.is_current(folder, settings.encoder, origin):
        training.train(EncoderTask(examples, settings), settings.encoder, folder, origin, description(settings))
    return load_weights(folder / training.WEIGHTS, KIND)[0]
