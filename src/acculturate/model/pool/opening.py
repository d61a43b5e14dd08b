"""Start the processes that a run is to be shared among, and end them with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from acculturate.errors import SettingError, first_line, setting
from acculturate.model.pool import torchrun
from acculturate.model.pool.local import LocalWorker
from acculturate.model.pool.parallel import Parallel
from acculturate.model.pool.protocol import Pool
from acculturate.model.pool.worker_pool import WorkerPool
from acculturate.model.respondent import Respondent


@contextmanager
def shared(respondent: Respondent, parallel: str) -> Iterator[Pool | None]:
    """Share the interviews of a model among several processes in this context; None where there is one process.

    ``parallel``: as in the settings. Raises ``UserError`` where the processes cannot be had.
    """
    chosen = Parallel.parse(parallel)
    _check_room(chosen, respondent)
    with ExitStack() as stack:
        pool = _opened(chosen, stack)
        respondent.pool = pool
        stack.callback(setattr, respondent, "pool", None)
        yield pool


def _check_room(chosen: Parallel, respondent: Respondent) -> None:
    """Refuse several processes on a machine all of whose devices one model takes."""
    beside = chosen.kind != "none" or (torchrun.is_joined() and torchrun.has_neighbours())
    if beside and respondent.choice.device_map != "none":
        raise SettingError(
            "A model that is spread over all devices of a machine leaves none for a second process; leave out "
            f"{setting('parallel')} or {setting('device_map')}, or start one process per machine with torchrun."
        )


def _opened(chosen: Parallel, stack: ExitStack) -> Pool | None:
    if torchrun.is_joined():
        if chosen.kind != "none":
            raise SettingError(
                f"torchrun has started several processes already; leave {setting('parallel')} out, or start without "
                "torchrun."
            )
        return WorkerPool(torchrun.workers())
    if chosen.kind == "ray":
        from acculturate.model.pool.ray_actors import ray_workers

        return WorkerPool(stack.enter_context(ray_workers(chosen.processes)), helps=False)
    if chosen.kind == "local" and chosen.processes is not None and chosen.processes > 1:
        return stack.enter_context(_on_this_machine(chosen.processes))
    return None


@contextmanager
def _on_this_machine(processes: int) -> Iterator[WorkerPool]:
    """Start workers beside this process, which has its share of the threads while they work."""
    threads = max(1, torch.get_num_threads() // processes)
    with ExitStack() as stack:
        workers = []
        for number in range(1, processes):
            try:
                workers.append(LocalWorker(number, threads))
            except OSError as error:
                raise SettingError(
                    f"This machine starts no {processes} processes ({first_line(error)}); give a smaller "
                    f"{setting('parallel', 'local:2')}."
                ) from error
            stack.callback(workers[-1].close)
        yield WorkerPool(workers, threads=threads)
