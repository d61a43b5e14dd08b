"""Workers in a Ray cluster: actors that come and go with its machines."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from acculturate.errors import SettingError, first_line, setting
from acculturate.model.pool.protocol import LostWorkerError, Order, Reply, worker_timeout
from acculturate.model.pool.worker import Worker

TRIES = 3
"""Actors in a row that may end over one order before it is given to somebody else."""


class RayWorker:
    """Start an actor and reach it; one that ends is replaced.

    Parameters
    ----------
    gpu
        Whether an actor takes a whole GPU. Otherwise it takes one CPU core.
    """

    def __init__(self, *, gpu: bool) -> None:
        import ray

        self._ray, self._timeout = ray, worker_timeout()
        self._kind = ray.remote(_Actor).options(num_cpus=1, num_gpus=int(gpu))
        self._begin()

    def _begin(self) -> None:
        self._actor: Any = self._kind.remote()
        self.there = self._actor.is_there.remote()
        self._sent: set[str] = set()

    def ready(self) -> bool:
        """Tell whether the cluster has a place for the actor already."""
        done, _ = self._ray.wait([self.there], timeout=0)
        return bool(done)

    def ask(self, order: Order) -> Reply:
        """Send an order and wait for its reply, from the actor's successors where it ends.

        Raises ``LostWorkerError`` where all of them end or there is no answer in time, and else what went wrong.
        """
        why = ""
        for _ in range(TRIES):
            try:
                reply = self._ray.get(self._actor.answer.remote(order.to(self._sent)), timeout=self._timeout)
            except self._ray.exceptions.GetTimeoutError as error:
                raise LostWorkerError(f"a Ray actor gave no answer for {self._timeout:g} seconds") from error
            except self._ray.exceptions.RayError as error:
                why = first_line(error, 80)
                self.close()
                self._begin()
                continue
            self._sent.add(order.key)
            if isinstance(reply, Exception):
                raise reply
            return reply
        raise LostWorkerError(f"{TRIES} Ray actors ended over one answer: {why}")

    def pid(self) -> int:
        """Return the number of the actor's process."""
        return self._ray.get(self._actor.pid.remote())

    def close(self) -> None:
        """End the actor at once."""
        with suppress(Exception):  # it may be gone, and Ray with it
            self._ray.kill(self._actor)


class _Actor:
    """Hold a worker in a process of Ray's."""

    def __init__(self) -> None:
        self._worker = Worker()

    def is_there(self) -> bool:
        return True

    def pid(self) -> int:
        return os.getpid()

    def answer(self, order: Order) -> Reply | Exception:
        return self._worker.reply(order)


@contextmanager
def ray_workers(count: int | None) -> Iterator[list[RayWorker]]:
    """Start actors in the Ray cluster of this machine, or in one of its own, and end them afterwards.

    Parameters
    ----------
    count
        Actors; None for as many as the cluster has GPUs, or CPU cores where this machine computes without.

    Raises
    ------
    UserError
        Where Ray is not installed, cannot be reached or has no room for any actor.
    """
    if importlib.util.find_spec("ray") is None:
        raise SettingError(
            f"{setting('parallel', 'ray')} needs the package ray; install it with: pip install 'acculturate[ray]'."
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a run tells nobody of itself
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    began = not ray.is_initialized()
    if began:
        _begin(ray)
    workers: list[RayWorker] = []
    try:
        gpu = torch.cuda.is_available()
        room = int(ray.cluster_resources().get("GPU" if gpu else "CPU", 0))
        workers += [RayWorker(gpu=gpu) for _ in range(count or max(room, 1))]
        there, _ = ray.wait([worker.there for worker in workers], timeout=worker_timeout())
        if not there:
            raise SettingError(
                f"The Ray cluster has no room for an actor with one {'GPU' if gpu else 'CPU core'}; free one, or give "
                f"{setting('parallel', 'local:2')}."
            )
        yield workers
    finally:
        for worker in workers:
            worker.close()
        if began:
            ray.shutdown()


def _begin(ray: Any) -> None:
    try:
        ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR", configure_logging=True)
    except Exception as error:
        raise SettingError(f"The Ray cluster cannot be reached: {first_line(error)}.") from error
