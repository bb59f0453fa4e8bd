"""The prediction for one study, as JSON."""

from dataclasses import replace
from pathlib import Path

from common.corrections.correction import KEY, corrections_beside, other_ways
from common.errors import NoCervicalLevel
from common.masks import files as mask_files
from common.operating_point import OPERATING_POINT
from common.outputs import store
from common.outputs.notices import json_beside, tell
from common.outputs.out_folder import answer_at
from common.reading.nifti import write_nifti
from common.reading.study import Reader, read_study
from stage2_classify.inference.classifier import Classifier
from stage2_classify.schema import EVIDENCE, PREDICTIONS
from stage2_classify.settings import ClassifySettings

STEPS = 255
"""In which evidence 0..1 is kept in a file: a byte instead of four, and 0.5 stays 0.5 or more."""


def predict_study(
    study: Path,
    mask: Path,
    output: Path,
    weights: list[Path],
    scheme: str,
    device: str = "auto",
    series_uid: str | None = None,
    precision: str = "32-true",
    overwrite: bool = False,
    settings: ClassifySettings | None = None,
    read: Reader = read_study,
    evidence: Path | None = None,
    operating_point: float = OPERATING_POINT,
    calibration: Path | None = None,
) -> None:
    """One CT (DICOM folder, zip, NIfTI) and its mask (a NIfTI whose values follow `scheme`, or a folder with
    one file per vertebra) -> RESULT.json.

    Everything else comes out of the weights files, and from decision.json beside their folders where it lies, which
    must have been fitted on these networks. `settings`: what the weights must have been trained with, if given.
    `evidence`: a NIfTI to write as well, see `Result.evidence`. `operating_point`: as in `Result`. `calibration`: a
    local map, see `Classifier.load`. What older results left there goes first; `overwrite`: so do files that aren't
    ours. Raises NoCervicalLevel after the result is written when no level is in view;
    StudyError, WeightsError, OutputError, RunBusy, ConfigError (no such device or precision): nothing is there then.
    """
    folders = [folder for path in weights for folder in (path, path / "stage2", *path.parents[:2])]
    decisions = [folder / "decision.json" for folder in folders]
    inputs = [mask, json_beside(mask), *weights, *decisions, calibration]
    with answer_at([output, evidence], study, mask, inputs, overwrite) as about:
        classifier = Classifier.load(weights, device, precision, settings, calibration)
        scan = read(study, series_uid)
        result = classifier(scan, mask, scheme, with_map=evidence is not None)
        result = replace(result, operating_point=operating_point)
        content, corrections = result.to_json(), corrections_beside(mask)
        if corrections:
            content |= {KEY: corrections, "notices": [*content["notices"], *other_ways(corrections, content)]}
        tell(scan.uid or study.name, content["notices"])
        store.write_json(output, content)
        provenance = {
            "mask": mask_files.digest(mask),
            "scheme": scheme,
            "series": series_uid,
            "weights": list(classifier.digests),
            "decision": None if classifier.calibration is None else classifier.calibration.to_json(),
            "precision": result.precision,
            "local_map": None if classifier.local_map is None else classifier.local_map.digest,
        }
        store.write_record(output, {**about, **provenance}, PREDICTIONS)
        if evidence is not None and result.evidence is not None:
            write_nifti(result.evidence, evidence, STEPS)
            store.write_record(evidence, {**about, **provenance}, EVIDENCE)
    if result.is_prior:
        raise NoCervicalLevel(
            f"{mask}: names no cervical vertebra that is large enough to judge, so {output} holds the prior; is it the "
            f"mask of {study}, and that a CT of the neck?"
        )
