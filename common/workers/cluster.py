"""Jobs handed to a Dask cluster, a task for each study. Its workers see the same files, and results are files: nothing
lives in the scheduler."""

import logging
import os
import pickle
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from common.config import Settings, parse, read_yaml
from common.errors import ClusterError, ConfigError
from common.outputs.lock import belongs_to_another
from common.workers.at_cluster import do, place_of
from common.workers.failing import Failed
from common.workers.tasks import Tasks

if TYPE_CHECKING:
    from distributed import Client

K = TypeVar("K", bound=Hashable)
"""A job's key."""
LOCAL = "local"
CONNECT_S = 60.0
"""Seconds that a scheduler may take to answer."""


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
            most = self.workers.most if self.workers else 0
            needs: bool | None = False if not gpu else self.workers.gpu if self.workers else None
            tasks = Tasks(client, self.address, lambda job: (do, pickled, pickle.dumps(job), place), needs, most)
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
