"""A fault of a competition folder."""

from dataclasses import dataclass

KINDS = {
    "table": "a table is missing or can't be read",
    "study id": "a StudyInstanceUID can't name a study",
    "train and test": "a study is named in train.csv and in test.csv",
    "duplicate row": "a study or row id stands in a table twice",
    "label value": "a label is neither 0 nor 1",
    "contradiction": "patient_overall isn't the maximum of C1..C7",
    "no images": "a study of a table has no images",
    "no row": "images that no table names",
    "scan": "a study's images can't be read as one CT volume",
    "mask": "a mask can't be read, or belongs to no study",
    "mask place": "a mask's grid doesn't meet its scan",
    "mask label": "a mask holds values the scheme doesn't name",
    "box": "a box has impossible numbers or belongs to no study",
    "box negative": "a box in a study without fracture",
    "box outside": "a box reaches out of its image",
    "box slice": "a box on a slice that doesn't exist",
    "test row": "a row of test.csv is wrong in itself",
    "submission": "sample_submission.csv doesn't have test.csv's rows",
}
"""Kind of fault -> what it means."""


@dataclass(frozen=True, order=True)
class Fault:
    """`kind`: a key of KINDS. `where`: the table, file or StudyInstanceUID. `detail`: what was found."""

    kind: str
    where: str
    detail: str
