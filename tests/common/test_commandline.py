"""How commands end."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_reader_that_has_seen_enough_is_no_crash() -> None:
    code = "from common.commandline import run\nrun(lambda: [print('x' * 1000) for _ in range(1000)] and 0)"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(10)
    process.stdout.close()
    said = process.stderr.read().decode()
    assert process.wait() == 141 and said == "stopped: what was to read the output has ended\n"
