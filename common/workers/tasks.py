"""The tasks of one call on a Dask cluster: handed out, awaited, given again when their worker is killed."""

import sys
import time
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from common.errors import ClusterError
from common.workers.failing import Failed
from common.workers.queue import Queue

if TYPE_CHECKING:
    from distributed import Client, Future

K = TypeVar("K", bound=Hashable)
"""A job's key."""
LOOK_S = 5.0
"""Seconds between looks at how many workers there are."""
GPU = "GPU"
"""The resource that a worker declares (`dask worker --resources GPU=1`)."""
LEAST = 8
"""Jobs handed out at a time at least; at most twice as many as the workers have threads."""
KILLED = "its worker was killed again and again, most likely for want of memory; the workers' logs say more"


class Tasks:
    """The jobs of one call that a client has handed out."""

    def __init__(
        self, client: "Client", where: str, task: Callable[[tuple], tuple], gpu: bool | None, most: int
    ) -> None:
        """`where`: the cluster, for people. `task`: a job's arguments -> function and arguments to submit. `gpu`:
        whether a job needs a worker that declares one; None: if some worker does. `most`: workers that may come."""
        self.client, self.where, self.task, self.gpu, self.most = client, where, task, gpu, most
        self.looked = -LOOK_S
        self.threads = 0
        self.has_gpus = False
        self.waiting_since = time.monotonic()

    def answers(self, jobs: dict[K, tuple]) -> Iterator[tuple[K, Any | Failed]]:
        """(key, result) of each job as it is done; see `Cluster.answers`."""
        while jobs and self.gpu is None and not self.threads:  # only then is it known
            time.sleep(0.5)
            self._look()
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
        resources = {GPU: 1} if self.gpu or (self.gpu is None and self.has_gpus) else None
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
            raise self._gone(type(error).__name__) from None
        return [future for future in running if future.done()]

    def _result(self, future: "Future") -> tuple | None:
        from distributed.scheduler import KilledWorker

        if future.cancelled() or future.status == "lost":
            raise self._gone(future.status)
        try:
            error = future.exception()
            if error is None:
                return (future.result(),)
        except OSError as lost:  # the connection: a job's own error is what `exception` returns
            raise self._gone(type(lost).__name__) from None
        if isinstance(error, KilledWorker):
            return None
        raise error

    def _gone(self, why: Any) -> ClusterError:
        return ClusterError(
            f"{self.where}: the scheduler has gone ({why}); what is finished is kept: start it again, then "
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
            raise self._gone(type(error).__name__) from None
        self.threads = sum(worker["nthreads"] for worker in workers)
        self.has_gpus = any(worker["resources"].get(GPU) for worker in workers)
        if self.threads:
            self.waiting_since = now
        elif now - self.waiting_since > 30:
            self.waiting_since = now
            print(f"{self.where}: no workers yet; waiting for some", file=sys.stderr)

    def _window(self) -> int:
        return max(2 * self.threads, 2 * self.most, LEAST)
