"""Jobs that end their process or outlive it. They import next to nothing: each process that is started imports them."""

import os
import signal
import time
from pathlib import Path


def work(number: int, deadly: tuple[int, ...] = (), flag: str = "") -> int:
    """Doubles; on `deadly` numbers the process is killed, with a `flag` file only the first time."""
    if number in deadly and (not flag or not Path(flag).exists()):
        if flag:
            Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def linger(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(3600)
