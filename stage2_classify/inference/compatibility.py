"""Whether weights, crops and the decision belong together and to the configuration. Needs no torch."""

from pathlib import Path
from typing import Any

from common.config import parse_saved
from common.errors import WeightsError
from common.outputs import store
from common.training.task import RUNTIME_ONLY
from common.training.weights import read_description
from stage2_classify.calibration.calibration import Calibration, load_calibration
from stage2_classify.settings import KIND, ClassifySettings, DecisionSettings

NOT_TRAINED = {"folds": True, "masks": True, "decision": True} | dict.fromkeys(("train", "encoder"), RUNTIME_ONLY)
"""Settings that may differ between those that weights were trained with and those that they are used with."""


def check_described(weights: list[Path], settings: ClassifySettings) -> None:
    """Raises WeightsError unless all of the `weights` say that they were trained with these settings."""
    wanted = settings.model_dump(mode="json", exclude=NOT_TRAINED)
    for path in weights:
        theirs = _described(path).model_dump(mode="json", exclude=NOT_TRAINED)
        for part, value in wanted.items():
            if theirs[part] != value:
                raise WeightsError(
                    f"{path}: weights of another configuration: {_difference(part, theirs[part], value)}; train again "
                    "(`python -m stage2_classify train`), give the settings that they were trained with, or name them "
                    "with --weights"
                )


def check_alike(weights: list[Path]) -> None:
    """Raises WeightsError unless networks that predict together read the same crops."""
    first = _described(weights[0])
    for path in weights[1:]:
        other = _described(path)
        for part in ("kind", "crops"):
            own, its = (s.network.kind if part == "kind" else s.crops.model_dump(mode="json") for s in (first, other))
            if own != its:
                raise WeightsError(
                    f"{path} and {weights[0]} can't predict together: {_difference(part, its, own)}; name the networks "
                    "of one training"
                )


def read_decision(path: Path, digests: list[str]) -> tuple[Calibration | None, DecisionSettings | None]:
    """The calibration that training left in decision.json, and the settings that it was fitted with; None without one.
    `digests`: of the weights that it is to read. WeightsError when it can't be used or was fitted on others."""
    if not path.is_file():
        return None, None
    calibration = load_calibration(path, "decision")
    content: dict[str, Any] = store.read_json(path)
    networks = content.get("networks")
    if not isinstance(networks, dict) or set(map(str, networks.values())) != set(digests):
        raise WeightsError(
            f"{path}: not fitted on the predictions of these weights (it names {len(networks or ())} networks, "
            f"{len(digests)} are here); give all networks of its training, train again, or move it away"
        )
    return calibration, parse_saved(content.get("settings", {}), DecisionSettings, str(path), "settings")


def _described(path: Path) -> ClassifySettings:
    description = read_description(path, KIND)
    if not isinstance(description.get("settings"), dict):
        raise WeightsError(f"{path}: its description lacks settings; train again or copy the file again")
    return parse_saved(description["settings"], ClassifySettings, str(path), "settings")


def _difference(part: str, theirs: Any, wanted: Any) -> str:
    if isinstance(theirs, dict) and isinstance(wanted, dict):
        name = next(name for name in wanted if theirs.get(name) != wanted[name])
        return f"their {part}.{name} is {theirs.get(name)}, expected {wanted[name]}"
    return f"their {part} is {theirs}, expected {wanted}"
