"""A scheduler and four workers, two of them in network namespaces of their own where that is allowed."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psutil

ROOT = Path(__file__).parents[2]
BEGAN = time.monotonic()
BRIDGE, NET, PORT = "cervical0", "10.77.20", 8786
ELSEWHERE = ("cervical-a", "cervical-b")
"""Network namespaces: each sees the scheduler through a bridge, and nothing else."""


def ip(*words: str) -> bool:
    return subprocess.run(["ip", *words], capture_output=True).returncode == 0


def make_networks() -> bool:
    """Two namespaces on a bridge of this machine; False where that isn't allowed."""
    remove_networks()
    good = ip("link", "add", BRIDGE, "type", "bridge") and ip("addr", "add", f"{NET}.1/24", "dev", BRIDGE)
    good = good and ip("link", "set", BRIDGE, "up")
    for number, name in enumerate(ELSEWHERE):
        here, there = f"cerv{number}h", f"cerv{number}n"
        good = good and ip("netns", "add", name)
        good = good and ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        good = good and ip("link", "set", here, "master", BRIDGE) and ip("link", "set", here, "up")
        good = good and ip("-n", name, "addr", "add", f"{NET}.{number + 2}/24", "dev", there)
        good = good and ip("-n", name, "link", "set", there, "up") and ip("-n", name, "link", "set", "lo", "up")
    return good


def remove_networks() -> None:
    for name in ELSEWHERE:
        ip("netns", "del", name)
    ip("link", "del", BRIDGE)


class Struck(Protocol):
    """Who can be killed and held up for some seconds; either returns the victim's number, None without one."""

    def kill_one(self, rng: random.Random) -> int | None: ...
    def hold_one_up(self, rng: random.Random, seconds: float) -> int | None: ...


class Machines:
    """`poisoned`: a study whose reading ends the process that reads it, on every worker."""

    def __init__(self, place: Path, poisoned: str = "") -> None:
        self.place, self.poisoned = place, poisoned
        self.separate = make_networks()
        self.host = f"{NET}.1" if self.separate else "127.0.0.1"
        self.address = f"tcp://{self.host}:{PORT}"
        self.scheduler: subprocess.Popen | None = None
        self.workers: dict[int, subprocess.Popen] = {}

    def start(self) -> None:
        """Starts what isn't running: workers end with their scheduler, and their nannies with them."""
        if self.scheduler is None or self.scheduler.poll() is not None:
            words = ["-m", "distributed.cli.dask_scheduler", "--host", self.address, "--no-dashboard"]
            self.scheduler = self._run([sys.executable, *words])
        for number in range(4):
            if number not in self.workers or self.workers[number].poll() is not None:
                self.workers[number] = self._worker(number)

    def _worker(self, number: int) -> subprocess.Popen:
        space = ["ip", "netns", "exec", ELSEWHERE[number - 2]] if self.separate and number >= 2 else []
        host = f"{NET}.{number}" if space else self.host
        words = [self.address, "--nthreads", "1", "--no-dashboard", "--host", host]
        words += ["--local-directory", str(self.place / "dask")]
        words += ["--preload", str(Path(__file__).parent / "poison.py")]
        return self._run([*space, sys.executable, "-m", "distributed.cli.dask_worker", *words])

    def kill_scheduler(self) -> None:
        """And waits for the workers, which end with it."""
        assert self.scheduler is not None
        self.scheduler.kill()
        self.scheduler.wait()
        for worker in self.workers.values():
            with suppress(subprocess.TimeoutExpired):
                worker.wait(timeout=30)  # one that was just starting waits for another scheduler
            worker.kill()
            worker.wait()

    def stop(self) -> None:
        processes = [*self.workers.values(), *([self.scheduler] if self.scheduler else [])]
        for process in processes:
            process.terminate()
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=60)
            process.kill()
        self.workers.clear()
        if self.separate:
            remove_networks()

    def at_work(self) -> list[int]:
        """The processes that compute, without their nannies."""
        found: list[int] = []
        for worker in self.workers.values():
            with suppress(psutil.NoSuchProcess):
                children = psutil.Process(worker.pid).children()
                found += [child.pid for child in children if "resource_tracker" not in " ".join(child.cmdline())]
        return found

    def kill_one(self, rng: random.Random) -> int | None:
        if not (alive := self.at_work()):
            return None
        victim = rng.choice(alive)
        os.kill(victim, signal.SIGKILL)
        return victim

    def hold_one_up(self, rng: random.Random, seconds: float) -> int | None:
        """Stops a worker for a while: a straggler."""
        if not (alive := self.at_work()):
            return None
        victim = rng.choice(alive)
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(victim, signal.SIGCONT)
        return victim

    def _run(self, words: list[str]) -> subprocess.Popen:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "POISONED": self.poisoned,
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
        }
        log = (self.place / "dask.log").open("a")
        return subprocess.Popen(words, env=environment, cwd=self.place, stdout=log, stderr=log)


def say(what: str) -> None:
    print(f"{time.monotonic() - BEGAN:6.0f} s  {what}", flush=True)


def strikes(machines: Struck, rng: random.Random, every: float, during: str = "") -> Callable[[], None]:
    """Kills workers and holds them up, and says so (`during` what), until the function that it returns is called."""
    over = threading.Event()

    def strike() -> None:
        while not over.wait(rng.uniform(0.5, 1.5) * every):
            if rng.random() < 0.3:
                say(f"{during}worker {machines.hold_one_up(rng, 10)} was held up for 10 s")
            else:
                killed = machines.kill_one(rng)
                say(f"{during}{'no worker there to kill' if killed is None else f'worker {killed} killed'}")

    thread = threading.Thread(target=strike, daemon=True)
    thread.start()

    def end() -> None:
        over.set()
        thread.join()

    return end
