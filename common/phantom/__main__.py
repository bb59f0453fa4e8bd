"""`python -m common.phantom`: makes a cohort of synthetic studies."""

import argparse
from pathlib import Path

from common.commandline import add_cluster, add_overwrite, check_least, run
from common.phantom.make_in_parallel import parser_of, say_what_was_made


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = parser_of(
        "common.phantom", "Makes synthetic CT studies of the neck, laid out as the folder of the RSNA 2022 competition."
    )
    parser.add_argument("--studies", type=int, default=88, help="training studies (%(default)s)")
    parser.add_argument("--test-studies", type=int, default=60, help="test studies (%(default)s)")
    parser.add_argument("--matrix", type=int, default=256, help="pixels across a slice (%(default)s)")
    parser.add_argument(
        "--pretraining", action="store_true", help="two levels of five fractured, every study with masks and boxes"
    )
    parser.add_argument(
        "--bone", choices=("drawn", "real"), default="drawn",
        help="real: marrow and cortex nearer to those of real scans, see docs/real_bone.md (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--preview", type=Path, metavar="PNG", help="also draw a contact sheet of the first studies")
    add_cluster(parser)
    add_overwrite(parser)
    parser.add_argument("--preview-studies", type=int, default=8, help="how many of them (%(default)s)")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Make a cohort of synthetic studies in the competition's layout."""
    arguments = parse_arguments(words)
    check_least(arguments, studies=0, test_studies=0, seed=0, matrix=32, workers=1)

    from common.outputs.own_files import outputs_at
    from common.phantom.cohort import make_cohort
    from common.workers import cluster

    out = arguments.out
    with cluster.use(arguments.cluster), outputs_at([arguments.preview], overwrite=arguments.overwrite):
        made, failures = make_cohort(
            out,
            arguments.studies,
            arguments.test_studies,
            arguments.seed,
            arguments.matrix,
            arguments.workers,
            arguments.pretraining,
            arguments.bone,
        )
        code = say_what_was_made(out, "studies", arguments.studies + arguments.test_studies, made, failures)
        if arguments.preview:
            from common.phantom.preview import draw_cohort

            draw_cohort(out, arguments.preview, arguments.preview_studies)
            print(f"preview: {arguments.preview}")
    return code


if __name__ == "__main__":
    run(main)
