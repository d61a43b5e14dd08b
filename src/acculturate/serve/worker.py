"""One thread that computes: jobs wait in order, and stop when nobody waits for them any more."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Generic, TypeVar

from acculturate.errors import UserError
from acculturate.serve.request_error import RequestError, failed

WAITING = 256
"""Jobs that wait, at most."""

E = TypeVar("E")


class Job(Generic[E]):
    """Hand the events of some work from the thread that computes to a task that waits for them.

    Parameters
    ----------
    work
        Is given a function that takes events and returns False when the work is to stop.
    """

    def __init__(self, work: Callable[[Callable[[E], bool]], None]) -> None:
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[E | Exception | None] = asyncio.Queue()
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Have the work stopped at its next event, or never begun."""
        self._cancelled.set()

    def run(self, complain: Callable[[str], None]) -> None:
        """Do the work; mistakes of its own become events, and what is nobody's mistake is complained of."""
        end: Exception | None = None
        if not self._cancelled.is_set():
            try:
                self._work(self._tell)
            except UserError as error:
                end = error
            except Exception as error:
                end = failed(error, complain)
        self._put(end)

    def _tell(self, event: E) -> bool:
        self._put(event)
        return not self._cancelled.is_set()

    def _put(self, event: E | Exception | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def events(self) -> AsyncIterator[E]:
        """Yield events until the work ends; raises ``UserError`` where it was refused."""
        while (event := await self._events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event


class Worker:
    """Do jobs one after the other in a thread of its own.

    Parameters
    ----------
    complain
        Is told in a sentence what went wrong that is nobody's mistake.
    """

    def __init__(self, complain: Callable[[str], None]) -> None:
        self._complain = complain
        self._jobs: queue.Queue[Job | None] = queue.Queue(WAITING)
        self._stopped = False
        self._current: Job | None = None
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Put a job at the end of the queue; raises ``RequestError`` where too many wait."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise RequestError(
                f"{WAITING} requests are waiting already; try again later.", 503, code="overloaded"
            ) from None

    def stop(self, seconds: int) -> None:
        """Stop the job in progress and all that wait; gives the thread some time to end."""
        self._stopped = True
        if (current := self._current) is not None:
            current.cancel()
        with suppress(queue.Full):
            self._jobs.put_nowait(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._current = job
            if self._stopped:
                job.cancel()
            job.run(self._complain)
            self._current = None
            if self._stopped and self._jobs.empty():  # the queue may have been too full for the word to end
                return
