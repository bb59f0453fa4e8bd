"""Segments one study of any form that can be read."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import ConfigError, NoCervicalLevel
from common.outputs import store
from common.outputs.notices import json_beside, tell
from common.outputs.out_folder import answer_at
from common.reading.images import WRITTEN, can_be_written, write_image
from common.training.weights import read_description
from stage1_segment.inference.levels.model import digest_beside
from stage1_segment.schema import MASK
from stage1_segment.settings import KIND, Orientation, PredictSettings

if TYPE_CHECKING:
    from common.reading.study import Reader


def predict_study(
    source: Path,
    output: Path,
    weights: Path,
    device: str = "auto",
    preview: Path | None = None,
    predict: PredictSettings | None = None,
    series_uid: str | None = None,
    orientation: Orientation | None = None,
    overwrite: bool = False,
    read: "Reader | None" = None,
    certain: float | None = None,
) -> None:
    """Writes the mask of `source` (DICOM folder, zip, image file) to `output` (.nii, .nii.gz, .nrrd, .mha), its levels
    beside it as .json, and a picture to `preview`. `series_uid`: which series of a DICOM study, None for the best. An
    image file's mask has its grid and affine, a DICOM series' that of its slices (column, row, slice), upright.
    `orientation`: what becomes of a header that turns the patient round, None for what `predict` says. What an older
    run left at these names goes first; `overwrite`: so do files that aren't ours. `read`: None for
    `read_study`. `certain`: of levels to be named (`PredictSettings.certain`), None for what `predict` says.
    Raises NoCervicalLevel after all is written when the mask names no level; StudyError, WeightsError, ConfigError,
    OutputError, RunBusy, and then nothing is there."""
    if not can_be_written(output):
        raise ConfigError(f"{output}: a mask's name must end in {WRITTEN}")
    levels_path = json_beside(output)
    with answer_at([output, levels_path, preview], source, output, [weights], overwrite) as about:
        read_description(weights, KIND)  # a wrong name should be told at once, not after the scan is read

        from common.reading.study import read_study
        from stage1_segment.inference.mask_report import levels_of
        from stage1_segment.inference.segmenter import Segmenter

        segmenter = Segmenter.load(weights, device, predict)
        if certain is not None:
            segmenter = replace(segmenter, predict=segmenter.predict.model_copy(update={"certain": certain}))
        study = (read or read_study)(source, series_uid)
        orientation = orientation or segmenter.predict.orientation
        result = segmenter(study, orientation)
        levels = levels_of(study.uid, study.volume, result.mask, result, precision=segmenter.predict.precision)
        tell(study.uid or source.name, levels["notices"])

        provenance = {
            **about,
            "series": series_uid,
            "weights": store.digest_file(weights),
            "levels": digest_beside(weights),
            "predict": segmenter.predict.model_dump(mode="json"),
            "orientation": orientation,
        }
        if preview is not None:
            from stage1_segment.inference.preview import draw_preview

            draw_preview(study.volume, result.mask, preview, study.uid or source.name, result.certainty)
            store.write_record(preview, provenance, MASK)
        store.write_json(levels_path, levels)
        store.write_record(levels_path, provenance, MASK)
        write_image(result.mask, output)
        store.write_record(output, provenance, MASK)
    if not any(level["present"] for level in levels["levels"].values()):
        raise NoCervicalLevel(
            f"{source}: no cervical vertebra was found ({'; '.join(levels['notices'])}); {output} names none. "
            "Is it a CT of the neck, and the right one of its series (--list-series)?"
        )
