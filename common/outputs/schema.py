"""Kinds of outputs, each with a number that is raised when the same inputs lead to something else.

A record is valid for its kind's number only (`store`); the project's version is written there for people. A stage's own
kinds are in its `schema.py`. Raise a number when a change of code changes what is made: a repaired scan, a
mask cleaned in another way, a crop cut elsewhere. What is made from it follows by itself where its bytes change.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Schema:
    """A kind of output, and the number of what it holds."""

    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"


PLAIN = Schema("output", 1)
"""Of outputs that nothing is made from."""
CT_CACHE = Schema("scan in the cache", 4)
FOLDS = Schema("folds", 1)
TRAINING = Schema("training", 1)
"""The loop; the stage's own number for its weights comes beside it."""
PHANTOM_STUDY = Schema("synthetic study", 2)
PAGE = Schema("page of one study", 2)
BANK_SUBJECT = Schema("subject of an anatomy bank", 3)
HEALTHY_NECK = Schema("healthy neck", 1)
"""The scan of a bank's healthy neck, drawn or made of meshes, and its mask."""
