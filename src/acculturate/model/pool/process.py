"""The program of a worker process on this machine: ``python -m acculturate.model.pool.process SOCKET THREADS NUMBER``.

It ends at once when the process that started it closes the socket or dies, whatever it is computing.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from multiprocessing.connection import Connection
from threading import Thread


def main() -> None:
    """Answer orders until the socket closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one decides
    descriptor, threads, number = map(int, sys.argv[1:])
    Thread(target=_leave_with, args=(descriptor,), daemon=True).start()
    connection = Connection(descriptor)
    import torch

    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())
    from acculturate.model.pool.worker import Worker

    worker = Worker()
    while True:
        try:
            order = connection.recv()
        except EOFError:
            return
        connection.send(worker.reply(order))


def _leave_with(descriptor: int) -> None:
    """End this process when the other end of the socket is closed."""
    poll = select.poll()
    poll.register(descriptor, 0)  # hanging up is told whether it is asked for or not
    poll.poll()
    os._exit(0)


if __name__ == "__main__":
    main()
