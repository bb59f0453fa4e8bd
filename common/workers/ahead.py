"""Imports that are done while networks compute: those let go of the interpreter's lock."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib import import_module


@contextmanager
def imports_ahead(modules: Sequence[str]) -> Iterator[Callable[[], list[Future[None]]]]:
    """Yields what begins to import `modules`, one after the other in a thread; the block's end waits for the last one
    begun. What fails is left to those who need it: they import it again, and say why it can't be."""
    with ThreadPoolExecutor(1) as beside:
        try:
            yield lambda: [beside.submit(_import, name) for name in modules]
        finally:
            beside.shutdown(cancel_futures=True)


def _import(name: str) -> None:
    with suppress(Exception):
        import_module(name)
