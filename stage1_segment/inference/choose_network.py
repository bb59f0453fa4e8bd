"""Which network segments which study: one that hasn't learned from its segmentation, where there is one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.config import DataSettings
from common.errors import WeightsError
from common.outputs import store
from common.training.train import is_current
from common.training.weights import read_description
from stage1_segment.pretrained import PRETRAINED, own_or_pretrained
from stage1_segment.provenance import provenances
from stage1_segment.run_folder import RunFolder
from stage1_segment.settings import KIND, SegmentSettings


@dataclass(frozen=True)
class Network:
    """Weights, and the studies that they `learned` from; None where that isn't known."""

    weights: Path
    learned: frozenset[str] | None

    def has_seen(self, uid: str) -> bool | None:
        """Whether they have learned from a study's segmentation."""
        return None if self.learned is None else uid in self.learned


def given_network(weights: Path) -> Network:
    """Weights from elsewhere: what they learned from is in their description; those that come with the project learned
    from synthetic scans alone. Raises WeightsError."""
    learned = read_description(weights, KIND).get("learned")
    if learned is None and PRETRAINED.is_file() and store.digest_file(weights) == store.digest_file(PRETRAINED):
        learned = ()
    return Network(weights, None if learned is None else frozenset(map(str, learned)))


def networks_of(data: DataSettings, settings: SegmentSettings) -> dict[int, Network]:
    """Fold -> its network; the one that comes with the project when the run has none at all. Raises WeightsError when
    a fold isn't trained."""
    run = RunFolder(data.run)
    own = [run.weights(fold) for fold in settings.train_folds]
    if own and not any(path.is_file() for path in own) and (weights := own_or_pretrained(own[0])) != own[0]:
        return {settings.train_folds[0]: given_network(weights)}
    networks = {}
    for fold, (part, provenance) in provenances(data, settings).items():
        if not is_current(run.fold(fold), settings.train, provenance):
            raise WeightsError(
                f"{run.weights(fold)}: missing or not of this configuration; run `python -m stage1_segment train` first"
            )
        networks[fold] = Network(run.weights(fold), frozenset(part.learned))
    return networks


def choose_fold(uid: str, fold: int | None, networks: Mapping[int, Network]) -> int:
    """The network for a study: the one of its own fold, else one that hasn't learned from it, else the first. Only a
    segmented study whose fold wasn't trained (`segment.train_folds`) gets one that has."""
    if fold is not None and int(fold) in networks:
        return int(fold)
    unseen = [number for number, network in networks.items() if not network.has_seen(uid)]
    return (unseen or list(networks))[0]
