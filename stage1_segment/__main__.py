"""`python -m stage1_segment train | predict | evaluate | set-pretrained | gallery | no-neck | calibrate-levels |
evaluate-certainty`."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from common import commandline, config
from common.device import Precision, check_device
from common.errors import ConfigError
from common.outputs.lock import only_one
from common.outputs.own_files import outputs_at
from common.workers import cluster

if TYPE_CHECKING:
    from common.reading.study import Reader
    from stage1_segment.settings import PredictSettings, SegmentSettings

PART = "segment"


def main(words: list[str] | None = None, read: "Reader | None" = None) -> int:
    """Stage 1: train, predict and evaluate the network that labels C1 to C7.

    `read`: how `predict -i` reads its study; None: `read_study`."""
    arguments = _parser().parse_args(words)
    if read is not None:
        arguments.read = read
    if "device" in arguments:
        check_device(arguments.device)
    with cluster.use(getattr(arguments, "cluster", cluster.LOCAL)):
        return arguments.command(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stage1_segment", description=f"{__doc__} {commandline.NOT_MEDICAL}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a network for each of segment.train_folds")
    train.set_defaults(command=_train)

    predict = commands.add_parser("predict", help="segment a whole cohort, or with -i one study")
    predict.add_argument("-i", "--input", type=Path, metavar="STUDY", help="DICOM folder, zip, NIfTI, NRRD, MetaImage")
    predict.add_argument("-o", "--output", type=Path, metavar="MASK", help=".nii[.gz], .nrrd or .mha; MASK.json beside")
    predict.add_argument("--weights", type=Path, help="default: those of the run's first trained fold")
    predict.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    predict.add_argument("--preview", type=Path, metavar="PICTURE.png", help="also draw it")
    predict.add_argument(
        "--orientation", choices=("refuse", "repair"),
        help="what becomes of a header that turns the patient round (default: predict.orientation)",
    )  # fmt: skip
    predict.add_argument(
        "--certain", type=float, metavar="0..1",
        help="leave levels without a name that are less certain (default: predict.certain, 0: all are named)",
    )  # fmt: skip
    commandline.add_series_choice(predict)
    commandline.add_overwrite(predict)
    predict.set_defaults(command=_predict, read=None)

    evaluate = commands.add_parser("evaluate", help="against true masks, or with --landmarks against marked scans")
    evaluate.add_argument("--landmarks", type=Path, metavar="MARKS.json", help='{case: {"C2": [x, y, z] RAS mm, ...}}')
    evaluate.add_argument("-i", "--input", type=Path, metavar="DIR", help="where the marked scans lie")
    evaluate.add_argument("-o", "--output", type=Path, metavar="REPORT.json", help="the table as JSON")
    commandline.add_overwrite(evaluate)
    evaluate.add_argument("--only", metavar="A,B,C", help="cases to look at; default: all that are marked")
    evaluate.add_argument("--weights", type=Path, help="default: those of the run's first trained fold")
    evaluate.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    evaluate.set_defaults(command=_evaluate)

    set_pretrained = commands.add_parser("set-pretrained", help="make a run's weights those that come with the project")
    set_pretrained.add_argument(
        "--weights", type=Path, nargs="+", metavar="FILE",
        help="default: those of the run's first trained fold; of several files, the mean",
    )  # fmt: skip
    set_pretrained.set_defaults(command=_set_pretrained)

    gallery = commands.add_parser(
        "gallery", help="a picture of synthetic scans of a bank, with what a network predicts"
    )
    gallery.add_argument("-o", "--output", type=Path, metavar="PICTURE.png", required=True)
    commandline.add_overwrite(gallery)
    gallery.add_argument("--scans", type=int, default=20, help="how many (default: 20)")
    gallery.add_argument("--weights", type=Path, help="default: those of the run's first trained fold")
    gallery.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    gallery.set_defaults(command=_gallery)

    no_neck = commands.add_parser("no-neck", help="how often levels are named in random volumes without a neck")
    no_neck.add_argument("--volumes", type=int, default=200, help="of each kind (default: 200)")
    no_neck.add_argument("--seed", type=int, default=0)
    no_neck.add_argument("--kinds", metavar="A,B,C", help="only these, such as rods,blocks; default: all")
    no_neck.add_argument("-o", "--output", type=Path, metavar="REPORT.json", help="the table as JSON")
    no_neck.add_argument("--weights", type=Path, help="default: those of the run's first trained fold")
    no_neck.add_argument("--precision", choices=get_args(Precision), help="default: that of the configuration")
    no_neck.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    commandline.add_overwrite(no_neck)
    no_neck.set_defaults(command=_no_neck)

    calibrate = commands.add_parser("calibrate-levels", help="fit the certainty of the level count to hard necks")
    calibrate.add_argument("-o", "--output", type=Path, metavar="LEVELS.json", help="default: beside the weights")
    calibrate.set_defaults(command=_calibrate_levels)

    certainty = commands.add_parser("evaluate-certainty", help="how often what is called so certain is right")
    certainty.add_argument("-o", "--output", type=Path, metavar="REPORT.json", help="the figures as JSON")
    certainty.add_argument("--picture", type=Path, metavar="PICTURE.png", help="a reliability diagram")
    certainty.add_argument(
        "--first", type=int, default=200, help="number of the first neck, behind those of the fit (default: 200)"
    )
    certainty.set_defaults(command=_evaluate_certainty)

    for command in (calibrate, certainty):
        command.add_argument("--necks", type=int, default=200, help="hard synthetic necks (default: 200)")
        command.add_argument("--seed", type=int, default=22)
        command.add_argument(
            "--examples", type=Path, metavar="DIR", default=Path("data/hard_necks"),
            help="where what is seen in them is kept (%(default)s)",
        )  # fmt: skip
        command.add_argument("--weights", type=Path, help="default: those of the run's first trained fold")
        command.add_argument("--precision", choices=get_args(Precision), help="default: that of the weights")
        command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
        commandline.add_overwrite(command)

    for command in (train, predict, evaluate, set_pretrained, gallery, no_neck, calibrate, certainty):
        commandline.add_config(command)
    for command in (train, predict, evaluate):
        commandline.add_cluster(command)
    return parser


def _train(arguments: argparse.Namespace) -> int:
    from stage1_segment.provenance import all_current

    data, settings = _settings(arguments)
    if not all_current(data, settings):
        from stage1_segment.training.train import train_folds

        with only_one(data.run):
            train_folds(data, settings)
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    if arguments.list_series and arguments.input is not None:
        from common.reading.listing import series_table

        print(series_table(arguments.input))
        return 0
    if (arguments.input is None) != (arguments.output is None):
        raise ConfigError("predict: -i STUDY and -o MASK.nii.gz belong together; neither means the whole cohort")
    if arguments.certain is not None and not 0 <= arguments.certain <= 1:
        raise ConfigError(f"predict: --certain {arguments.certain}: expected a probability, such as 0.9")
    if arguments.input is None and (arguments.preview or arguments.series_uid or arguments.list_series):
        raise ConfigError("predict: --preview, --series-uid and --list-series are for one study; name it with -i")
    data, settings = _settings(arguments)
    if arguments.input is None:
        from stage1_segment.inference.cohort import predict_cohort

        named = {"orientation": arguments.orientation, "certain": arguments.certain}
        own = settings.predict.model_copy(update={key: value for key, value in named.items() if value is not None})
        settings = settings.model_copy(update={"predict": own})
        with only_one(data.run, together=config.digest("segment predict", data, settings, arguments.weights)):
            return predict_cohort(data, settings, arguments.device, arguments.weights)
    from common.workers.memory import end_at_once
    from stage1_segment.inference.one_study import predict_study

    end_at_once()
    weights = _weights(arguments, data, settings)
    predict_study(
        arguments.input,
        arguments.output,
        weights,
        arguments.device,
        arguments.preview,
        _given(arguments, settings),
        arguments.series_uid,
        arguments.orientation,
        arguments.overwrite,
        arguments.read,
        arguments.certain,
    )
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    if (arguments.landmarks is None) != (arguments.input is None):
        raise ConfigError("evaluate: --landmarks MARKS.json and -i DIR belong together; or neither")
    data, settings = _settings(arguments)
    if arguments.landmarks is None:
        from stage1_segment.evaluation.overlap import evaluate

        return evaluate(data, settings)
    from stage1_segment.evaluation.evaluate_landmarks import evaluate_landmarks

    weights = _weights(arguments, data, settings)
    inputs = [arguments.landmarks, arguments.input, weights, arguments.config]
    with outputs_at([arguments.output], inputs, arguments.overwrite):
        return evaluate_landmarks(
            arguments.landmarks,
            arguments.input,
            weights,
            arguments.output,
            arguments.only.split(",") if arguments.only else None,
            arguments.device,
            _given(arguments, settings),
        )


def _set_pretrained(arguments: argparse.Namespace) -> int:
    from stage1_segment.run_folder import RunFolder
    from stage1_segment.training.set_pretrained import set_pretrained

    data, settings = _settings(arguments)
    weights = arguments.weights or [RunFolder(data.run).weights(settings.train_folds[0])]
    set_pretrained(weights, _given(arguments, settings))
    return 0


def _gallery(arguments: argparse.Namespace) -> int:
    from stage1_segment.evaluation.gallery import draw_gallery
    from stage1_segment.provenance import bank_split

    commandline.check_least(arguments, scans=1)
    data, settings = _settings(arguments)
    weights = _weights(arguments, data, settings)
    subjects = bank_split(settings).held_out
    given = _given(arguments, settings)
    with outputs_at([arguments.output], [weights, arguments.config, *map(Path, subjects)], arguments.overwrite):
        draw_gallery(subjects, arguments.scans, weights, arguments.output, arguments.device, given)
    return 0


def _no_neck(arguments: argparse.Namespace) -> int:
    from common.outputs import store
    from common.outputs.own_files import outputs_at
    from stage1_segment.evaluation.no_neck import NECK, measure_no_neck, table
    from stage1_segment.evaluation.no_neck_volumes import KINDS

    commandline.check_least(arguments, volumes=1, seed=0)
    kinds = arguments.kinds.split(",") if arguments.kinds else None
    unknown = sorted(set(kinds or ()) - {*KINDS, NECK})
    if unknown:
        raise ConfigError(f"--kinds: {', '.join(unknown)}: not known; known are {', '.join((*KINDS, NECK))}")
    data, settings = _settings(arguments)
    weights = _weights(arguments, data, settings)
    with outputs_at([arguments.output], [weights, arguments.config], arguments.overwrite):
        result = measure_no_neck(
            weights, arguments.volumes, arguments.seed, arguments.device, _given(arguments, settings),
            arguments.precision, kinds,
        )  # fmt: skip
        print(table(result))
        if arguments.output is not None:
            store.write_json(arguments.output, result)
    return 0


def _calibrate_levels(arguments: argparse.Namespace) -> int:
    from stage1_segment.evaluation.calibrate_levels import calibrate_levels

    commandline.check_least(arguments, necks=1, seed=0)
    weights = _weights(arguments, *_settings(arguments))
    with outputs_at([arguments.output], [weights, arguments.config], arguments.overwrite):
        content = calibrate_levels(
            arguments.examples, weights, arguments.necks, arguments.seed, arguments.device, arguments.precision,
            arguments.output,
        )  # fmt: skip
    print(json.dumps(content, indent=1))
    return 0


def _evaluate_certainty(arguments: argparse.Namespace) -> int:
    from common.outputs import store
    from stage1_segment.evaluation.evaluate_certainty import evaluate_certainty
    from stage1_segment.inference.levels.model import model_beside, path_beside

    commandline.check_least(arguments, necks=1, seed=0)
    weights = _weights(arguments, *_settings(arguments))
    model = model_beside(weights)
    if model is None:
        where = path_beside(weights)
        raise ConfigError(f"{where} doesn't exist: run `python -m stage1_segment calibrate-levels` first")
    outputs = [arguments.output, arguments.picture]
    with outputs_at(outputs, [weights, arguments.config], arguments.overwrite):
        content = evaluate_certainty(
            arguments.examples, weights, model, range(arguments.first, arguments.first + arguments.necks),
            arguments.seed, arguments.device,
            arguments.precision, arguments.picture,
        )  # fmt: skip
        if arguments.output is not None:
            store.write_json(arguments.output, content)
    print(json.dumps(content, indent=1))
    return 0


def _weights(arguments: argparse.Namespace, data: "config.DataSettings", settings: "SegmentSettings") -> Path:
    from stage1_segment.pretrained import own_or_pretrained
    from stage1_segment.run_folder import RunFolder

    return arguments.weights or own_or_pretrained(RunFolder(data.run).weights(settings.train_folds[0]))


def _given(arguments: argparse.Namespace, settings: "SegmentSettings") -> "PredictSettings | None":
    """The settings of prediction when a configuration is given; None: those of the weights."""
    return settings.predict if arguments.config or arguments.overrides else None


def _settings(arguments: argparse.Namespace) -> "tuple[config.DataSettings, SegmentSettings]":
    from stage1_segment.settings import SegmentSettings

    return config.load(arguments.config, PART, SegmentSettings, arguments.overrides)


if __name__ == "__main__":
    commandline.run(main)
