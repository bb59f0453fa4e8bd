"""Jobs handed to a Dask cluster, a task for each study. Its workers see the same files, and results are files: nothing
lives in the scheduler."""

import logging
import os
import pickle
import sys
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from common.config import Settings, parse, read_yaml
from common.errors import ClusterError, ConfigError
from common.outputs.lock import belongs_to_another
from common.workers.at_cluster import do, place_of
from common.workers.failing import Failed
from common.workers.queue import Queue

if TYPE_CHECKING:
    from distributed import Client, Future

K = TypeVar("K", bound=Hashable)
"""A job's key."""
LOCAL = "local"
CONNECT_S = 60.0
LOOK_S = 5.0
"""Seconds between looks at how many workers there are."""
GPU = "GPU"
"""The resource that a worker declares (`dask worker --resources GPU=1`)."""
LEAST = 8
"""Jobs handed out at a time at least; at most twice as many as the workers have threads."""
KILLED = "its worker was killed again and again, most likely for want of memory; the workers' logs say more"


class JobQueue(Settings):
    """A YAML file for `--cluster`: workers that a batch system starts, so many jobs of it as there is work for."""

    system: Literal["slurm", "pbs", "sge"]
    most: int
    """Jobs of the batch system at a time, at most."""
    least: int = 0
    gpu: bool = False
    """Whether its workers declare a GPU: what uses one then waits for them."""
    job: dict[str, Any]
    """What dask_jobqueue's class of this system takes: cores, memory, walltime, queue, job_extra_directives ..."""


class Cluster:
    """A scheduler's address, or a batch system that starts workers for one of this process's."""

    def __init__(self, address: str, workers: JobQueue | None = None) -> None:
        self.address, self.workers = address, workers
        self._started: Any = None

    def close(self) -> None:
        if self._started is not None:
            self._started.close()

    def answers(
        self, function: Callable[..., Any], jobs: dict[K, tuple], outputs: Path, gpu: bool
    ) -> Iterator[tuple[K, Any | Failed]]:
        """(key, function(*arguments)) of every job as it is done, `Failed` where that failed; see `pool.shared`.
        `outputs`: a folder that the workers must see. A job whose worker is killed goes to others; one that killed all
        that it was given to is tried once more when nothing else runs, and has failed when that worker is killed, too.
        Raises ClusterError, and what `attempt` raises."""
        pickled = pickle.dumps(function)
        with self._client() as client, place_of(outputs) as place:
            tasks = _Tasks(client, self, gpu, lambda job: (do, pickled, pickle.dumps(job), place))
            yield from tasks.answers(jobs)

    @contextmanager
    def _client(self) -> "Iterator[Client]":
        from distributed import Client

        logging.getLogger("distributed").setLevel(logging.ERROR)
        try:
            client = Client(self._scheduler(), timeout=CONNECT_S)
        except (OSError, TimeoutError, ValueError) as error:
            said = f"{self.address}: no scheduler answers there ({error}); start one: dask scheduler"
            raise ClusterError(said) from None
        try:
            yield client
        finally:
            client.close(timeout=5)

    def _scheduler(self) -> Any:
        if self.workers is None:
            return self.address
        if self._started is None:
            self._started = started(self.workers, self.address)
            self._started.adapt(minimum_jobs=self.workers.least, maximum_jobs=self.workers.most)
        return self._started


class _Tasks:
    """The jobs of one call that a client has handed out."""

    def __init__(self, client: "Client", cluster: Cluster, gpu: bool, task: Callable[[tuple], tuple]) -> None:
        self.client, self.cluster, self.gpu, self.task = client, cluster, gpu, task
        self.looked = -LOOK_S
        self.threads = 0
        self.has_gpus = False
        self.waiting_since = time.monotonic()

    def answers(self, jobs: dict[K, tuple]) -> Iterator[tuple[K, Any | Failed]]:
        killed: list[K] = []
        for key, result in self._several(jobs):
            if result is None:
                killed.append(key)
            else:
                yield key, result[0]
        for key in killed:
            for _, result in self._several({key: jobs[key]}):
                yield key, Failed(KILLED) if result is None else result[0]

    def _several(self, jobs: dict[K, tuple]) -> Iterator[tuple[K, tuple | None]]:
        """(key, (result,)), or (key, None) of jobs whose workers were killed."""
        queue = Queue(jobs)
        running: dict[Future, K] = {}
        while True:
            self._look()
            while len(running) < self._window() and (job := queue.next()) is not None:
                running[self._submit(job[1])] = job[0]
            if not running and not queue.pause():
                return
            for future in self._finished(running):
                key, result = running.pop(future), self._result(future)
                if result is not None and isinstance(result[0], Failed) and result[0].busy:
                    queue.again(key)
                else:
                    yield key, result

    def _submit(self, job: tuple) -> "Future":
        promised = self.cluster.workers is not None and self.cluster.workers.gpu
        resources = {GPU: 1} if self.gpu and (self.has_gpus or promised) else None
        return self.client.submit(*self.task(job), pure=False, resources=resources)

    def _finished(self, running: "dict[Future, K]") -> "list[Future]":
        from distributed import wait

        if not running:
            return []
        try:
            wait(list(running), timeout=LOOK_S, return_when="FIRST_COMPLETED")
        except TimeoutError:
            return []
        except Exception as error:
            raise self._gone(error) from None
        return [future for future in running if future.done()]

    def _result(self, future: "Future") -> tuple | None:
        from distributed.scheduler import KilledWorker

        if future.cancelled() or future.status == "lost":
            raise self._gone(future.status)
        error = future.exception()
        if isinstance(error, KilledWorker):
            return None
        if error is not None:
            raise error
        return (future.result(),)

    def _gone(self, why: Any) -> ClusterError:
        return ClusterError(
            f"{self.cluster.address}: the scheduler has gone ({why}); what is finished is kept: start it again, then "
            "run the same command again"
        )

    def _look(self) -> None:
        """How many workers there are, every `LOOK_S`; says so when there have been none for a while."""
        now = time.monotonic()
        if now - self.looked < LOOK_S:
            return
        self.looked = now
        try:
            workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        except OSError as error:
            raise self._gone(error) from None
        self.threads = sum(worker["nthreads"] for worker in workers)
        self.has_gpus = any(worker["resources"].get(GPU) for worker in workers)
        if self.threads:
            self.waiting_since = now
        elif now - self.waiting_since > 30:
            self.waiting_since = now
            print(f"{self.cluster.address}: no workers yet; waiting for some", file=sys.stderr)

    def _window(self) -> int:
        most = 0 if self.cluster.workers is None else self.cluster.workers.most
        return max(2 * self.threads, 2 * most, LEAST)


_used: Cluster | None = None


def used() -> Cluster | None:
    """The cluster that gets the jobs; None: processes of this machine."""
    return _used


@contextmanager
def use(name: str) -> Iterator[None]:
    """While the block runs, jobs go to `name`: local, a Dask scheduler (tcp://HOST:PORT, tls://HOST:PORT), or a YAML
    file for a batch system (`JobQueue`). Of processes that train together only the first one uses it. Raises
    ConfigError."""
    global _used
    _used = None if belongs_to_another(os.environ) else chosen(name)
    try:
        yield
    finally:
        if _used is not None:
            _used.close()
        _used = None


def chosen(name: str) -> Cluster | None:
    """The cluster of that name; None for local. Raises ConfigError, also when the extra isn't installed."""
    if name == LOCAL:
        return None
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise ConfigError("--cluster needs an extra: pip install 'cervical-fracture[cluster]'") from None
    if name.startswith(("tcp://", "tls://")):
        return Cluster(name)
    if not name.endswith((".yaml", ".yml")):
        raise ConfigError(f"--cluster is {name}; expected {LOCAL}, tcp://HOST:8786, tls://HOST:8786 or a .yaml file")
    return Cluster(name, parse(read_yaml(Path(name)), JobQueue, name))


def started(workers: JobQueue, origin: str) -> Any:
    """dask_jobqueue's cluster of a batch system, with a scheduler in this process and no workers yet. Raises
    ConfigError."""
    import dask_jobqueue

    kinds = {
        "slurm": dask_jobqueue.SLURMCluster,
        "pbs": dask_jobqueue.PBSCluster,
        "sge": dask_jobqueue.SGECluster,
    }
    try:
        return kinds[workers.system](**{"scheduler_options": {"dashboard_address": None}, **workers.job})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{origin}: `job` can't be used: {error}") from None
