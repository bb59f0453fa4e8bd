"""`python -m stage1_segment train | predict | evaluate`."""

import argparse
from pathlib import Path

from common import commandline, config
from common.errors import ConfigError

PART = "segment"


def main() -> int:
    """Reads the command line and runs what it asks for."""
    arguments = _parser().parse_args()
    return arguments.command(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stage1_segment", description=f"{__doc__} {commandline.NOT_MEDICAL}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a network for each of segment.train_folds")
    train.set_defaults(command=_train)

    predict = commands.add_parser("predict", help="segment a whole cohort, or with -i one study")
    predict.add_argument("-i", "--input", type=Path, metavar="STUDY", help="DICOM folder, zip, or NIfTI")
    predict.add_argument("-o", "--output", type=Path, metavar="MASK.nii.gz", help="the mask; MASK.json lies beside it")
    predict.add_argument("--weights", type=Path, help="default: those of the run's first trained fold")
    predict.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    predict.add_argument("--preview", type=Path, metavar="PICTURE.png", help="also draw it")
    predict.set_defaults(command=_predict)

    evaluate = commands.add_parser("evaluate", help="Dice, HD95 and centroid error against the truth")
    evaluate.set_defaults(command=_evaluate)

    for command in (train, predict, evaluate):
        commandline.add_config(command)
    return parser


def _train(arguments: argparse.Namespace) -> int:
    from stage1_segment.run_folder import all_current

    data, settings = _settings(arguments)
    if not all_current(data, settings):
        from stage1_segment.train import train_folds

        train_folds(data, settings)
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    if (arguments.input is None) != (arguments.output is None):
        raise ConfigError("predict: -i STUDY and -o MASK.nii.gz belong together; neither means the whole cohort")
    data, settings = _settings(arguments)
    if arguments.input is None:
        from stage1_segment.cohort import predict_cohort

        return predict_cohort(data, settings, arguments.device)
    from stage1_segment.one_study import predict_study
    from stage1_segment.run_folder import RunFolder

    weights = arguments.weights or RunFolder(data.run).weights(settings.train_folds[0])
    given = bool(arguments.config or arguments.overrides)
    predict_study(
        arguments.input,
        arguments.output,
        weights,
        arguments.device,
        arguments.preview,
        settings.predict if given else None,
    )
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from stage1_segment.evaluate import evaluate

    return evaluate(*_settings(arguments))


def _settings(arguments: argparse.Namespace):
    from stage1_segment.settings import SegmentSettings

    return config.load(arguments.config, PART, SegmentSettings, arguments.overrides)


if __name__ == "__main__":
    commandline.run(main)
