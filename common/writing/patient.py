"""What DICOM objects repeat of the source about patient and study; nothing else ever gets to see it."""

import warnings

import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword

MUST_BE_THERE = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Type 2 in PS3.3 C.7.1.1 and C.7.2.1: there, if empty."""
PATIENT_AND_STUDY = (
    *MUST_BE_THERE,
    "IssuerOfPatientID",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "StudyDescription",
    "SpecificCharacterSet",
)


def patient_fields(header: pydicom.Dataset) -> pydicom.Dataset:
    """Those of `PATIENT_AND_STUDY` in a source's header that can be read. The library's warnings about values that
    break a rule would quote them, so they are kept quiet."""
    fields = pydicom.Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in PATIENT_AND_STUDY:
            try:
                value = header.get(name)
            except Exception:  # damaged values raise anything when they are looked at; then the field stays empty
                continue
            if value is not None and name != "SpecificCharacterSet":
                fields.add_new(*_tag(name), str(value) if dictionary_VR(name) == "PN" else value)
    return fields


def fill_in(made: pydicom.Dataset, fields: pydicom.Dataset | None) -> None:
    """Puts the `fields` of the source into an object that was made, in UTF-8; None: nobody's, and those that must be
    there are empty."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.SpecificCharacterSet = "ISO_IR 192"
        for name in MUST_BE_THERE:
            made.add_new(*_tag(name), "")
        for element in fields or ():
            made.add_new(element.tag, element.VR, element.value)
        if fields is None:
            made.PatientIdentityRemoved, made.DeidentificationMethod = "YES", "patient and study fields left empty"


def _tag(name: str) -> tuple[int, str]:
    return tag_for_keyword(name) or 0, dictionary_VR(name)
