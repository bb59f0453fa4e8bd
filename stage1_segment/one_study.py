"""Segments one study of any form that can be read."""

from functools import partial
from pathlib import Path

from common import store
from common.errors import ConfigError
from common.reading.nifti import is_nifti, write_nifti
from common.weights import read_description
from stage1_segment.settings import KIND, Orientation, PredictSettings


def predict_study(
    source: Path,
    output: Path,
    weights: Path,
    device: str = "auto",
    preview: Path | None = None,
    predict: PredictSettings | None = None,
    series_uid: str | None = None,
    orientation: Orientation | None = None,
) -> None:
    """Writes the mask of `source` (DICOM folder, zip, NIfTI) to `output` (.nii or .nii.gz), its levels beside it
    as .json, and a picture to `preview`. `series_uid`: which series of a DICOM study, None for the best. A NIfTI's mask
    has its grid and affine, a DICOM series' that of its slices (column, row, slice), upright. `orientation`: what
    becomes of a header that turns the patient round, None for what `predict` says.
    Raises StudyError, WeightsError, ConfigError."""
    if not is_nifti(output):
        raise ConfigError(f"{output}: a mask's name must end in .nii or .nii.gz")
    read_description(weights, KIND)  # a wrong name should be told at once, not after the scan is read

    from common.reading.study import read_study
    from stage1_segment.describe import describe
    from stage1_segment.orientation import checked
    from stage1_segment.predict import load_segmenter, segment

    segmenter = load_segmenter(weights, device, predict)
    study = read_study(source, series_uid)
    result = checked(study.volume, partial(segment, segmenter=segmenter), orientation or segmenter.predict.orientation)
    levels = {
        "study": study.uid,
        "levels": describe(result.mask, result.confidence),
        "precision": segmenter.predict.precision,
        "turned": list(result.turned),
        "notices": [*study.volume.notices, *result.notices],
    }
    came_from = {
        "ct": store.fingerprint(source),
        "weights": store.digest_file(weights),
        "predict": segmenter.predict.model_dump(mode="json"),
        "orientation": orientation,
    }
    levels_path = output.with_name(output.name.removesuffix(".gz").removesuffix(".nii") + ".json")
    store.write_json(levels_path, levels)
    write_nifti(result.mask, output)
    store.write_record(output, came_from)
    if preview is not None:
        from stage1_segment.preview import draw_preview

        draw_preview(study.volume, result.mask, preview, study.uid or source.name)
