"""Who made a result: its algorithm, for the objects that must name it."""

from dataclasses import dataclass

from highdicom import AlgorithmIdentificationSequence
from highdicom.sr import AlgorithmIdentification
from pydicom.sr.codedict import codes

from common import __version__

MANUFACTURER = MODEL = "cervical-fracture"
RESEARCH_ONLY = "Research use only, not a medical device, not a diagnosis."


@dataclass(frozen=True)
class Algorithm:
    """`name` for people; `weights`: digests of the networks' files, by which results and records name them.
    `by_hand`: a person has corrected what it made."""

    name: str
    weights: tuple[str, ...] = ()
    version: str = __version__
    by_hand: bool = False

    def for_segment(self) -> AlgorithmIdentificationSequence:
        """PS3.3 10.16."""
        weights = {f"weights {k}": digest for k, digest in enumerate(self.weights, start=1)}
        family = codes.DCM.ArtificialIntelligence
        return AlgorithmIdentificationSequence(self.name, family, self.version, MANUFACTURER, weights or None)

    def for_report(self) -> AlgorithmIdentification:
        """TID 4019."""
        return AlgorithmIdentification(
            self.name, self.version, [f"weights {digest}" for digest in self.weights] or None
        )
