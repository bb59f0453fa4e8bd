"""`python -m common.reading STUDY`: what the reader makes of a study, what it repaired, what it set aside."""

import argparse
from pathlib import Path

from common import commandline
from common.errors import ConfigError
from common.outputs.notices import tell
from common.outputs.own_files import outputs_at


def main() -> int:
    """Reads or lists one study."""
    parser = argparse.ArgumentParser(
        prog="common.reading", description=f"{__doc__} {commandline.NOT_MEDICAL}"
    )
    parser.add_argument("study", type=Path, help="DICOM folder, zip of one, NIfTI, NRRD or MetaImage")
    parser.add_argument("-o", "--output", type=Path, metavar="CT.nii.gz", help="also write it, as NIfTI, .nrrd or .mha")
    commandline.add_series_choice(parser)
    commandline.add_overwrite(parser)
    arguments = parser.parse_args()
    if arguments.list_series:
        from common.reading.listing import series_table

        print(series_table(arguments.study))
        return 0
    with outputs_at([arguments.output], [arguments.study], arguments.overwrite):
        _read(arguments)
    return 0


def _read(arguments: argparse.Namespace) -> None:
    from common.reading.images import WRITTEN, can_be_written, write_image
    from common.reading.study import read_study

    if arguments.output and not can_be_written(arguments.output):
        raise ConfigError(f"{arguments.output}: a CT's name must end in {WRITTEN}")
    study = read_study(arguments.study, arguments.series_uid)
    volume = study.volume
    print(f"StudyInstanceUID  {study.uid or '-'}")
    print(f"voxels            {' x '.join(map(str, volume.array.shape))}, {volume.array.dtype}")
    print(f"spacing mm        {' x '.join(f'{value:.4f}' for value in volume.spacing)}")
    print(f"HU                {volume.array.min()} to {volume.array.max()}")
    print(f"centre RAS mm     {', '.join(f'{value:.2f}' for value in volume.grid.centre)}")
    tell(study.uid or arguments.study.name, volume.notices)
    if arguments.output:
        write_image(volume, arguments.output)


if __name__ == "__main__":
    commandline.run(main)
