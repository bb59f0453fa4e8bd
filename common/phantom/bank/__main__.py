"""`python -m common.phantom.bank`: makes a bank of anatomies, label maps of tissues that training draws scans from."""

import argparse
from pathlib import Path

from common.commandline import add_overwrite, check_least, run
from common.phantom.make_in_parallel import add_atlas, parser_of, say_what_was_made


def parse_arguments() -> argparse.Namespace:
    parser = parser_of(
        "common.phantom.bank",
        "Makes posed anatomies of the neck as label maps of tissues (1.5 mm, NIfTI), one file per subject.",
    )
    parser.add_argument("--subjects", type=int, default=60, help="persons (%(default)s)")
    add_atlas(parser)
    parser.add_argument(
        "--shares",
        metavar="A,B,..",
        help="parts of the subjects from each --atlas in turn and, last, drawn without meshes (2,1,..,1)",
    )
    parser.add_argument("--preview", type=Path, metavar="PNG", help="also draw a contact sheet")
    add_overwrite(parser)
    parser.add_argument("--preview-subjects", type=int, default=12, help="how many of them (%(default)s)")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    check_least(arguments, subjects=1, seed=0, workers=1, preview_subjects=1)

    from common.outputs.own_files import outputs_at
    from common.phantom.bank.files import make_bank, plan_bank, shares_of

    plans = plan_bank(arguments.subjects, arguments.seed, arguments.atlas, shares_of(arguments.shares, arguments.atlas))
    with outputs_at([arguments.preview], arguments.atlas, arguments.overwrite):
        made, failures = make_bank(arguments.out, plans, arguments.workers)
        code = say_what_was_made(arguments.out, "subjects", len(plans), made, failures)
        if arguments.preview:
            from common.phantom.bank.preview import draw_bank

            files = [arguments.out / f"{plan.name}.nii.gz" for plan in plans if plan.name not in failures]
            draw_bank(files[: arguments.preview_subjects], arguments.preview)
            print(f"preview: {arguments.preview}")
    return code


if __name__ == "__main__":
    run(main)
