"""A pool of workers: orders go to whoever is free, and what a lost worker was asked is asked again."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread

import torch

from acculturate.model.pool.protocol import Answer, Channel, LostWorkerError, Order, Reply, WorkerError


class WorkerPool:
    """Share orders out among workers and, where it helps, this process.

    Parameters
    ----------
    workers
        How each worker is reached.
    helps
        Whether this process answers orders too. Where it does not, it still does when no worker is left.
    threads
        Threads that this process computes with while workers do; None for as many as it has.
    """

    def __init__(self, workers: Sequence[Channel], *, helps: bool = True, threads: int | None = None) -> None:
        self._workers, self._helps, self._threads = list(workers), helps, threads

    @property
    def workers(self) -> tuple[Channel, ...]:
        """Return how the workers that are left are reached."""
        return tuple(self._workers)

    def respond(self, orders: Sequence[Order], answer: Answer) -> list[Reply]:
        """Return the reply to every order, in order.

        Raises what went wrong with the first order for which anything did, in whichever process that was.
        """
        share_out = _SharingOut(orders)
        free = [worker for worker in self._workers if worker.ready()]
        threads = [
            Thread(target=share_out.feed, args=(worker,), daemon=True)
            for worker in free[: len(orders) - bool(self._helps)]
        ]
        for thread in threads:
            thread.start()
        try:
            with _computing_with(self._threads if threads else None):
                if self._helps or not threads:
                    share_out.work(answer)
                _wait(threads)
        except BaseException as error:
            if isinstance(error, Exception) and not isinstance(error, WorkerError):
                _wait(threads)  # a worker has to be free when it is asked again
            else:
                self._workers.clear()  # the program ends, in the middle of their answers
            raise
        for worker, reason in share_out.lost:
            self._dismiss(worker, reason)
        share_out.work(answer)  # what lost workers have left undone
        return share_out.replies()

    def _dismiss(self, worker: Channel, reason: str) -> None:
        self._workers.remove(worker)
        worker.close()
        left = len(self._workers) + bool(self._helps)
        warnings.warn(
            f"A worker process is gone ({reason}); what it was asked was asked again, and the run goes on with "
            f"{max(left, 1)} process{'' if left <= 1 else 'es'}.",
            stacklevel=5,
        )


@contextmanager
def _computing_with(threads: int | None) -> Iterator[None]:
    """Compute with another number of threads in this context; None for as many as before."""
    before = torch.get_num_threads()
    if threads is None or threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _wait(threads: Sequence[Thread]) -> None:
    for thread in threads:
        thread.join()


class _SharingOut:
    """Hold the orders of one call that nobody has taken, and the replies so far; threads share it."""

    def __init__(self, orders: Sequence[Order]) -> None:
        self._orders = orders
        self._open = deque(range(len(orders)))
        self._replies: dict[int, Reply] = {}
        self._errors: dict[int, Exception] = {}
        self.lost: list[tuple[Channel, str]] = []

    def feed(self, worker: Channel) -> None:
        """Have a worker answer one order after the other, until there are none or it is lost."""
        while (place := self._next()) is not None:
            try:
                self._replies[place] = worker.ask(self._orders[place])
            except LostWorkerError as error:
                self._open.appendleft(place)
                self.lost.append((worker, str(error)))
                return
            except Exception as error:
                self._errors[place] = error
                return

    def work(self, answer: Answer) -> None:
        """Answer one order after the other in this process, until there are none."""
        try:
            while (place := self._next()) is not None:
                self._replies[place] = answer(self._orders[place].prompts)
        except BaseException:
            self._open.clear()  # nobody waits for the rest
            raise

    def replies(self) -> list[Reply]:
        """Return all replies in order, or raise the error of the first order that has one."""
        if self._errors:
            raise self._errors[min(self._errors)]
        return [self._replies[place] for place in range(len(self._orders))]

    def _next(self) -> int | None:
        try:
            return None if self._errors else self._open.popleft()
        except IndexError:
            return None
