"""The server as a process: its socket, its signals and its end."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from acculturate.errors import SettingError, setting
from acculturate.runs.prompts import Prompts
from acculturate.serve.app import application
from acculturate.serve.worker import Worker

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"
GRACE_S = 5
"""Seconds that an answer in progress gets to end when the server is asked to."""


def listening_socket(port: int, *, exposed: bool = False) -> socket.socket:
    """Open the socket of a server; port 0 is any that is free.

    Raises
    ------
    UserError
        Where the port is in use or may not be used.
    """
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((EVERYWHERE if exposed else LOOPBACK, port))
    except OSError as error:
        opened.close()
        raise SettingError(
            f"Port {port} cannot be listened on ({error.strerror}); choose another with {setting('port')}, "
            "or 0 for any that is free."
        ) from error
    opened.listen(128)
    return opened


def serve(
    prompts: Prompts,
    opened: socket.socket,
    complain: Callable[[str], None],
    *,
    exposed: bool = False,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Answer requests until SIGINT or SIGTERM.

    Parameters
    ----------
    prompts
        The model and its prompts.
    opened
        The socket, from ``listening_socket``.
    complain
        Is told in a sentence what went wrong that is nobody's mistake.
    exposed
        Whether other machines may ask.
    ready
        Is called when requests are taken and signals are answered.
    """
    worker = Worker(complain)
    config = uvicorn.Config(
        application(prompts, worker, complain, exposed=exposed),
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="critical",  # its errors are traces, and ours are sentences
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=30,
    )
    server = uvicorn.Server(config)
    try:
        with _signals_end(server):
            ready()
            server.run(sockets=[opened])
    finally:
        worker.stop(GRACE_S)


@contextmanager
def _signals_end(server: uvicorn.Server) -> Iterator[None]:
    """Let SIGINT and SIGTERM end a server at any moment: before it listens for them, and when it hands them on."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    kept = {one: signal.signal(one, end) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in kept.items():
            signal.signal(one, handler)
