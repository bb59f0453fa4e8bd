"""The weights that come with stage 1, and what a training of it begins with. Needs no torch."""

import sys
from pathlib import Path

from common import start_weights
from common.commandline import NOT_MEDICAL
from common.errors import WeightsError
from common.training import WEIGHTS
from common.weights import read_description
from stage1_segment.settings import KIND, NetworkSettings, PredictSettings, SegmentSettings

SHIPPED = Path(__file__).parent / "shipped" / WEIGHTS
"""For real scans, used where a run has no weights of its own."""
PRACTICE = SHIPPED.with_name("practice.safetensors")
"""From the synthetic cohort made to practise on (configs/practice.yaml), for others of its kind to begin with."""


def own_or_shipped(own: Path) -> Path:
    """The run's own weights; without any, those that come with the project, which is said aloud. Without these
    either, `own`, so that the error names what is missing."""
    if own.is_file() or not SHIPPED.is_file():
        return own
    print(
        f"{own} doesn't exist: using the weights that come with the project, which have learned from synthetic CT "
        f"alone (see {SHIPPED.parent / 'CARD.md'}). {NOT_MEDICAL}",
        file=sys.stderr,
    )
    return SHIPPED


def start_path(settings: SegmentSettings) -> Path | None:
    """See `start_weights.start_path`."""
    wanted = {
        "network": (settings.network, set(NetworkSettings.model_fields)),
        "patch": (settings.patch, {"low_hu", "high_hu"}),
    }
    return start_weights.start_path(settings.train.start_from, "train.start_from", _names(), KIND, wanted)


def _names() -> dict[str, Path]:
    return {"shipped": SHIPPED, "practice": PRACTICE}


def ship(weights: list[Path], name: str = "shipped", predict: PredictSettings | None = None) -> Path:
    """Makes trained weights come with the project, as `shipped` or `practice`; of several, which one training should
    have led to from the other, their mean (Wortsman et al. 2022, model soups). `predict`: how they are to be used;
    None: as they were trained. Raises WeightsError, and ConfigError when they are too large."""
    import torch

    from stage1_segment.predict import load_segmenter

    description = read_description(weights[-1], KIND)
    kept = {key: value for key, value in description.items() if key not in ("fold", "learned", "held_out", "version")}
    if predict is not None:
        kept["predict"] = predict.model_dump(mode="json")
    networks = [load_segmenter(path, "cpu").network for path in weights]
    states = [network.state_dict() for network in networks]
    shapes = [{key: value.shape for key, value in state.items()} for state in states]
    if any(one != shapes[-1] for one in shapes):
        raise WeightsError(f"{weights[0]} and {weights[-1]} are of different networks, which have no mean")
    mean = {key: torch.stack([state[key].float() for state in states]).mean(dim=0) for key in states[-1]}
    networks[-1].load_state_dict(mean)
    start_weights.ship(_names()[name], networks[-1], kept)
    return _names()[name]
