"""`python -m stage2_classify COMMAND`: train, pretrain, set-pretrained, evaluate-encoder, evaluate-broken-bone,
compare-bone, predict, submit, report, score, calibrate, calibrate-locally."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from common import commandline
from common.device import Precision, check_device
from common.masks.schemes import SCHEMES
from common.operating_point import OPERATING_POINT
from common.outputs.own_files import outputs_at

if TYPE_CHECKING:
    from common.config import DataSettings
    from common.reading.study import Reader
    from stage2_classify.settings import ClassifySettings

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def main(arguments: list[str] | None = None, read: "Reader | None" = None) -> int:
    """Stage 2: train, predict, submit and score: which vertebrae are fractured.

    `read`: how `predict -i` reads its study; None: `read_study`."""
    args = _parser().parse_args(arguments)
    if read is not None:
        args.read = read
    if getattr(args, "device", None) is not None:
        check_device(args.device)
    from common.workers import cluster

    with cluster.use(getattr(args, "cluster", cluster.LOCAL)):
        return args.command(args) or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stage2_classify",
        description="Which of the seven cervical vertebrae are fractured.",
        epilog=commandline.NOT_MEDICAL,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_training(commands)
    _add_evaluation(commands)
    _add_prediction(commands)
    _add_calibration(commands)
    return parser


def _add_training(commands: "Commands") -> None:
    """train, pretrain, set-pretrained."""
    train = commands.add_parser("train", help="cut the vertebrae and train a network for each fold")
    train.set_defaults(command=_train)

    pretrain = commands.add_parser("pretrain", help="train an encoder on all studies, for other cohorts to begin with")
    pretrain.set_defaults(command=_pretrain)

    set_pretrained = commands.add_parser(
        "set-pretrained", help="make a pretrained encoder the one that comes with the project"
    )
    set_pretrained.add_argument("--weights", type=Path, help="default: the one that pretrain left in the run")
    set_pretrained.add_argument(
        "--evidence", type=Path, nargs="+", metavar="CSV",
        help="make it the network for scans of people, calibrated on these tables of evaluate-broken-bone",
    )  # fmt: skip
    set_pretrained.add_argument(
        "--crops", type=Path, metavar="DIR",
        help="with --evidence: crops that it learned from (RUN/stage2/grounds); levels unlike these in noise, "
        "sharpness or HU won't be judged; default: as pretrain found them",
    )  # fmt: skip
    set_pretrained.set_defaults(command=_set_pretrained)

    for command in (train, pretrain, set_pretrained):
        commandline.add_config(command)
    for command in (train, pretrain):
        commandline.add_cluster(command)


def _add_evaluation(commands: "Commands") -> None:
    """evaluate-encoder, evaluate-broken-bone, compare-bone."""
    encoder = commands.add_parser(
        "evaluate-encoder", help="what an encoder finds by itself, on all labelled studies of a cohort"
    )
    encoder.add_argument("--weights", type=Path, help="default: the one that comes with the project")
    encoder.add_argument("-o", "--output", type=Path, metavar="JSON", help="write the figures there too")
    encoder.add_argument("--evidence", type=Path, metavar="CSV", help="write each vertebra's evidence there")
    encoder.add_argument("--against", type=Path, metavar="CSV", help="another encoder's evidence, compared by study")
    commandline.add_overwrite(encoder)
    commandline.add_config(encoder)
    encoder.set_defaults(command=_evaluate_encoder)

    broken = commands.add_parser(
        "evaluate-broken-bone", help="what an encoder finds in healthy scans into which fractures are put"
    )
    broken.add_argument("-i", "--input", type=Path, metavar="DIR", required=True, help="DIR/scans and DIR/masks")
    broken.add_argument("--scheme", choices=tuple(SCHEMES), default="merged", help="what the masks' values mean")
    broken.add_argument(
        "--weights", type=Path, nargs="+", required=True, help="an encoder's, as pretrain leaves them; of several, the "
        "mean evidence",
    )  # fmt: skip
    broken.add_argument("--each", type=int, default=6, help="crops of each vertebra, way and kind (%(default)s)")
    broken.add_argument("--seed", type=int, default=0)
    broken.add_argument("--only", metavar="A,B", help="scans to look at; default: all")
    broken.add_argument("--precision", choices=get_args(Precision), default="auto", help="%(default)s")
    broken.add_argument("-o", "--output", type=Path, metavar="JSON", help="write the figures there too")
    broken.add_argument("--evidence", type=Path, metavar="CSV", help="write each crop's evidence there")
    commandline.add_overwrite(broken)
    broken.set_defaults(command=_evaluate_broken_bone)

    bone = commands.add_parser("compare-bone", help="how the bone of synthetic studies differs from that of real scans")
    bone.add_argument("--real", type=Path, metavar="DIR", required=True, help="DIR/scans and DIR/masks")
    bone.add_argument("--synthetic", type=Path, metavar="DIR", required=True, help="the same, or a cohort's folder")
    bone.add_argument("--real-scheme", choices=tuple(SCHEMES), default="merged", help="%(default)s")
    bone.add_argument("--synthetic-scheme", choices=tuple(SCHEMES), default="rsna", help="%(default)s")
    bone.add_argument("--studies", type=int, default=20, help="of each at most (%(default)s)")
    bone.add_argument(
        "--same-scanner", action="store_true", help="also with the synthetic scans on the real ones' voxels, as sharp"
    )
    bone.add_argument(
        "--blur", type=float, metavar="MM",
        help="with it: standard deviation of their blur; default: until edges are as wide as the real ones'",
    )  # fmt: skip
    bone.add_argument("-o", "--output", type=Path, metavar="JSON", required=True, help="the report")
    bone.add_argument("--picture", type=Path, metavar="PNG", help="histograms and spectra")
    commandline.add_overwrite(bone)
    bone.set_defaults(command=_compare_bone)


def _add_prediction(commands: "Commands") -> None:
    """predict, submit, report."""
    predict = commands.add_parser("predict", help="predict the test studies, or one study (-i)")
    predict.add_argument("-i", "--input", type=Path, metavar="STUDY", help="DICOM folder, zip, NIfTI, NRRD, MetaImage")
    predict.add_argument("--series-uid", metavar="UID", help="the DICOM series to read; default: the best neck CT")
    predict.add_argument("--mask", type=Path, metavar="MASK", help="image file, or folder with one per vertebra")
    predict.add_argument("-o", "--output", type=Path, metavar="RESULT", help="JSON to write")
    predict.add_argument(
        "--scheme", choices=tuple(SCHEMES), help="what MASK's values mean (docs/masks.md); default: merged"
    )
    predict.add_argument("--weights", type=Path, nargs="+", metavar="PATH", help="weights files or folders of folds")
    predict.add_argument("--evidence", type=Path, metavar="MAP.nii.gz", help="also write where fractures are seen")
    predict.add_argument(
        "--operating-point", type=commandline.probability, metavar="P",
        help=f"a fracture of one study is called suspected from this probability on; default: {OPERATING_POINT}",
    )  # fmt: skip
    predict.add_argument("--calibration", type=Path, metavar="FILE", help="a local map that calibrate-locally saved")
    predict.add_argument("--device", default=None, help="auto, cpu, cuda or cuda:N")
    commandline.add_overwrite(predict)
    predict.set_defaults(command=_predict, read=None)

    submit = commands.add_parser("submit", help="write submission.csv")
    submit.add_argument("--fill-missing", action="store_true", help="give studies without prediction the prior")
    submit.set_defaults(command=_submit)

    report = commands.add_parser("report", help="write metrics.json and report.html")
    report.add_argument("--pages", action="store_true", help="and a page for each study that it shows with pictures")
    report.set_defaults(command=_report)

    for command in (predict, submit, report):
        commandline.add_config(command)
    commandline.add_cluster(predict)


def _add_calibration(commands: "Commands") -> None:
    """score, calibrate, calibrate-locally: of anyone's predictions."""
    score = commands.add_parser("score", help="the competition's score of a submission")
    score.add_argument("submission", type=Path, metavar="SUBMISSION.csv")
    score.add_argument("labels", type=Path, metavar="LABELS.csv")
    score.add_argument("--against", type=Path, metavar="OTHER.csv", help="another submission, compared study by study")
    score.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    commandline.add_overwrite(score)
    score.set_defaults(command=_score)

    calibrate = commands.add_parser(
        "calibrate",
        help="the best prediction to submit from anyone's predictions, each by a fit to other folds",
        epilog="For a hospital's own studies, and a map that predict takes, see calibrate-locally.",
    )
    calibrate.add_argument("--predictions", type=Path, required=True, metavar="P.csv", help="a probability per target")
    calibrate.add_argument("--labels", type=Path, metavar="L.csv", help="the same columns, 0 or 1")
    calibrate.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.csv")
    folds = calibrate.add_mutually_exclusive_group()
    folds.add_argument("--folds", type=Path, metavar="F.csv", help="StudyInstanceUID, fold")
    folds.add_argument("--n-folds", type=int, default=5, metavar="N", help="random folds (default: 5)")
    kept = calibrate.add_mutually_exclusive_group()
    kept.add_argument("--save", type=Path, metavar="M.json", help="keep the fit to all studies")
    kept.add_argument("--load", type=Path, metavar="M.json", help="calibrate new studies by a kept fit")
    commandline.add_overwrite(calibrate)
    calibrate.set_defaults(command=_calibrate)

    locally = commands.add_parser(
        "calibrate-locally",
        help="how far predictions are off on a hospital's labelled studies, and a map for predict --calibration",
        epilog=f"See docs/local_calibration.md. {commandline.NOT_MEDICAL}",
    )
    locally.add_argument(
        "--predictions", type=Path, required=True, metavar="DIR|P.csv",
        help="a folder with the result.json of each study, or a table that predict wrote",
    )  # fmt: skip
    locally.add_argument("--labels", type=Path, required=True, metavar="L.csv", help="StudyInstanceUID and 0 or 1 each")
    locally.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="for report, picture and map")
    locally.add_argument("--weights", type=Path, metavar="PATH", help="what made P.csv, where it has no record")
    locally.add_argument(
        "--thresholds", type=float, nargs="+", default=(0.2, 0.5), metavar="P", help="of sensitivity and specificity"
    )
    locally.add_argument("--force", action="store_true", help="save a map although there is too little to tell")
    commandline.add_overwrite(locally)
    locally.set_defaults(command=_calibrate_locally)


def _load(args: argparse.Namespace) -> "tuple[DataSettings, ClassifySettings]":
    from common.config import load
    from stage2_classify.settings import ClassifySettings

    return load(args.config, "classify", ClassifySettings, args.overrides)


def _train(args: argparse.Namespace) -> int:
    from common.outputs.lock import only_one
    from stage2_classify.training.train import train

    data, settings = _load(args)
    with only_one(data.run):
        return train(data, settings)


def _pretrain(args: argparse.Namespace) -> int:
    from common.outputs.lock import only_one
    from stage2_classify.training.pretrain import pretrain

    data, settings = _load(args)
    with only_one(data.run):
        return pretrain(data, settings)


def _set_pretrained(args: argparse.Namespace) -> int:
    from stage2_classify.pretrained.encoder import set_pretrained
    from stage2_classify.pretrained.for_people import save_for_people
    from stage2_classify.training.pretrain import pretrained

    weights = args.weights or pretrained(*_load(args))
    if args.evidence:
        save_for_people(weights, args.evidence, args.crops)
    else:
        set_pretrained(weights)
    return 0


def _evaluate_encoder(args: argparse.Namespace) -> int:
    from common.errors import PARTLY_FAILED
    from common.outputs import store
    from common.outputs.lock import only_one
    from stage2_classify.evaluation.compare_evidence import less_other, read_evidence
    from stage2_classify.evaluation.evaluate_encoder import evaluate_encoder, table
    from stage2_classify.pretrained.encoder import PRETRAINED_PHANTOM

    data, settings = _load(args)
    other = None if args.against is None else read_evidence(args.against)
    inputs = [args.config, args.weights, args.against]
    with outputs_at([args.output, args.evidence], inputs, args.overwrite):
        with only_one(data.run):
            figures, evidence, labels = evaluate_encoder(data, settings, args.weights or PRETRAINED_PHANTOM)
        if args.evidence is not None:
            with store.atomic(args.evidence) as scratch:
                evidence.to_csv(scratch)
        if other is not None:
            figures["less_other"] = less_other(evidence, other, labels)
        print(table(figures))
        if args.output is not None:
            store.write_json(args.output, figures)
    return PARTLY_FAILED if figures["failed"] else 0


def _evaluate_broken_bone(args: argparse.Namespace) -> int:
    from common.errors import ConfigError
    from common.outputs import store
    from stage2_classify.evaluation.broken_bone import areas, as_text, measure
    from stage2_classify.grounds.variants import grounds_in
    from stage2_classify.pretrained.encoder import load_encoders

    commandline.check_least(args, each=1, seed=0)
    grounds = grounds_in(args.input, args.scheme)
    only = None if args.only is None else args.only.split(",")
    if only and (unknown := sorted(set(only) - {ground.name for ground in grounds})):
        raise ConfigError(f"--only: {', '.join(unknown)}: no such scan in {args.input / 'scans'}")
    encoders, settings = load_encoders(args.weights)
    with outputs_at([args.output, args.evidence], [*args.weights, args.input], args.overwrite):
        chosen = [ground for ground in grounds if only is None or ground.name in only]
        table = measure(encoders, settings[0].crops, chosen, args.each, args.seed, args.precision)
        print(as_text(table))
        if args.evidence is not None:
            with store.atomic(args.evidence) as scratch:
                table.to_csv(scratch, index=False)
        if args.output is not None:
            store.write_json(args.output, {"areas": areas(table), "scans": [ground.name for ground in chosen]})
    return 0


def _compare_bone(args: argparse.Namespace) -> int:
    from common.errors import ConfigError
    from common.outputs import store
    from stage2_classify.evaluation.compare_bone import as_text, compare, draw

    commandline.check_least(args, studies=2)
    if args.blur is not None and (args.blur < 0 or not args.same_scanner):
        raise ConfigError(f"--blur {args.blur}: expected 0 or more mm, together with --same-scanner")
    schemes = (args.real_scheme, args.synthetic_scheme)
    with outputs_at([args.output, args.picture], [args.real, args.synthetic], args.overwrite):
        report = compare(args.real, args.synthetic, schemes, args.studies, args.same_scanner, args.blur)
        print(as_text(report))
        store.write_json(args.output, report)
        if args.picture is not None:
            with store.atomic(args.picture) as scratch:
                scratch.write_bytes(draw(report))
    return 0


def _predict(args: argparse.Namespace) -> int:
    from common.errors import ConfigError
    from common.outputs.lock import only_one
    from stage2_classify.pretrained.encoder import own_or_pretrained
    from stage2_classify.run_folder import stage_folder, weights_paths

    data, settings = _load(args)
    if args.device is not None:
        settings = settings.model_copy(update={"train": settings.train.model_copy(update={"device": args.device})})
    if args.input is None:
        of_one = (args.mask, args.output, args.scheme, args.weights, args.series_uid, args.evidence, args.calibration)
        if any(of_one) or args.operating_point is not None:
            raise ConfigError(
                "predict: --mask, --output, --scheme, --weights, --evidence, --operating-point, --calibration, "
                "--series-uid are for one study; name it with -i"
            )
        from common.config import digest
        from stage2_classify.inference.cohort import predict_cohort

        with only_one(data.run, together=digest("classify predict", data, settings)):
            return predict_cohort(data, settings)
    if args.mask is None or args.output is None:
        raise ConfigError("predict -i STUDY needs --mask MASK.nii.gz and -o RESULT.json as well")
    from common.reading.study import read_study
    from common.workers.memory import end_at_once
    from stage2_classify.inference.one_study import predict_study

    end_at_once()
    # Without a configuration the run's weights are taken as they are, else they must be those of it.
    own = [override for override in args.overrides if not override.startswith("data.")]
    configured = bool(args.config or own) and not args.weights
    weights = args.weights or (
        weights_paths(data, settings) if configured else [own_or_pretrained(stage_folder(data, settings))]
    )
    scheme = args.scheme or settings.masks.scheme
    predict_study(
        args.input, args.mask, args.output, weights, scheme, settings.train.device, args.series_uid,
        settings.decision.precision, args.overwrite, settings if configured else None, args.read or read_study,
        args.evidence, OPERATING_POINT if args.operating_point is None else args.operating_point, args.calibration,
    )  # fmt: skip
    return 0


def _submit(args: argparse.Namespace) -> int:
    from stage2_classify.inference.submit import submit

    return submit(*_load(args), fill_missing=args.fill_missing)


def _report(args: argparse.Namespace) -> int:
    from stage2_classify.report.page import make_report

    return make_report(*_load(args), with_pages=args.pages)


def _score(args: argparse.Namespace) -> int:
    from common.dataset.competition import read_labels
    from common.outputs import store
    from stage2_classify.evaluation.evaluate_submission import evaluate, paired, read_submission, report

    with outputs_at([args.json], [args.submission, args.labels, args.against], args.overwrite):
        submission, labels = read_submission(args.submission), read_labels(args.labels)
        figures = evaluate(submission, labels)
        if args.against is not None:
            figures["less_other"] = paired(submission, read_submission(args.against), labels)
        print(report(figures))
        if args.json is not None:
            store.write_json(args.json, figures)
    return 0


def _calibrate(args: argparse.Namespace) -> int:
    from stage2_classify.calibration.calibrate import Request, calibrate
    from stage2_classify.settings import DecisionSettings

    request = Request(args.predictions, args.labels, args.output, args.folds, args.n_folds, args.save, args.load)
    inputs = [args.predictions, args.labels, args.folds, args.load]
    with outputs_at([args.output, args.save], inputs, args.overwrite):
        print(calibrate(request, DecisionSettings()))
    return 0


def _calibrate_locally(args: argparse.Namespace) -> int:
    from stage2_classify.recalibration.calibrate_locally import Request, calibrate_locally

    thresholds = tuple(args.thresholds)
    request = Request(
        args.predictions, args.labels, args.out, args.weights, thresholds, args.force, args.overwrite
    )  # fmt: skip
    print(calibrate_locally(request))
    return 0


if __name__ == "__main__":
    commandline.run(main)
