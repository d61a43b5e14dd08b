"""Workers on this machine: processes that hear and answer through a socket pair, and end when it closes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Connection

from acculturate.model.pool.protocol import LostWorkerError, Order, Reply, worker_timeout

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class LocalWorker:
    """Start a worker process on this machine and reach it.

    Parameters
    ----------
    number
        Counts the workers from 1; on a machine with several GPUs it says which one is used.
    threads
        Threads that the worker computes with.
    """

    def __init__(self, number: int, threads: int) -> None:
        self._timeout = worker_timeout()
        own, others = socket.socketpair()
        with own, others:
            command = [sys.executable, "-P", "-m", "acculturate.model.pool.process"]
            self._process = subprocess.Popen(
                [*command, *map(str, (others.fileno(), threads, number))],
                pass_fds=[others.fileno()],
                env=environment(threads),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            self._connection = Connection(own.detach())
        self._sent: set[str] = set()

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        return self._process.pid

    def ready(self) -> bool:
        """Return True: an order waits in the socket until the worker has started."""
        return True

    def ask(self, order: Order) -> Reply:
        """Send an order and wait for its reply.

        Raises ``LostWorkerError`` where the process ends, or does not answer in time, and else what went wrong in it.
        """
        try:
            self._connection.send(order.to(self._sent))
            self._sent.add(order.key)
            if not self._connection.poll(self._timeout):
                raise LostWorkerError(f"process {self.pid} gave no answer for {self._timeout:g} seconds")
            reply = self._connection.recv()
        except (EOFError, OSError) as error:
            raise LostWorkerError(f"process {self.pid} {self._end()}") from error
        if isinstance(reply, Exception):
            raise reply
        return reply

    def close(self) -> None:
        """End the process at once; it holds nothing that could be lost."""
        self._process.kill()
        self._process.wait()
        with suppress(OSError):
            self._connection.close()

    def _end(self) -> str:
        """Say how the process ended."""
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "does not answer"
        if code < 0:
            name = signal.Signals(-code).name
            return f"was ended by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
        return f"ended with exit code {code}"


def environment(threads: int | None) -> dict[str, str]:
    """Let a process find the same packages, and compute with its share of the threads; None: with as many as here."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    share = {} if threads is None else dict.fromkeys(_THREADS, str(threads))
    return {**os.environ, **share, "PYTHONPATH": path}
