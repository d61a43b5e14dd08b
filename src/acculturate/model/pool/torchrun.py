"""Processes that torchrun started, on one machine or several: the first runs the program, the others are its workers.

What they exchange, soft prompts and answers, is kilobytes in main memory, so they are joined by gloo on machines with
and without GPUs; each process computes on the GPU of its local rank. torchrun ends all of them when one ends, and
starts them again where it is told to; the run then goes on from its last generation.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore  # pyright: ignore[reportPrivateImportUsage]
from torch.distributed.rendezvous import rendezvous

from acculturate.errors import first_line
from acculturate.model.pool.protocol import Order, Reply, WorkerError, worker_timeout

_EVER = timedelta(days=365)
_GOES_ON = "its last generation is on disk, and the same command goes on from there."


@dataclass(frozen=True)
class _Ranks:
    """Hold the process groups: orders may be waited for as long as a run takes, replies may not."""

    orders: Any
    replies: Any


_joined: list[_Ranks] = []


def is_launched() -> bool:
    """Tell whether torchrun started this process beside others."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_joined() -> bool:
    """Tell whether this is the first of several processes of torchrun, and the others wait for orders."""
    return bool(_joined)


def has_neighbours() -> bool:
    """Tell whether torchrun started more than one process on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > 1


def workers() -> list[RankWorker]:
    """Return how each of the other processes is reached."""
    return [RankWorker(rank) for rank in range(1, dist.get_world_size())]


class RankWorker:
    """Reach the process of one rank."""

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._sent: set[str] = set()

    def ready(self) -> bool:
        """Return True: an order waits until the process has time for it."""
        return True

    def ask(self, order: Order) -> Reply:
        """Send an order and wait for its reply; ``WorkerError`` where the process is gone or too slow."""
        ranks, reply = _joined[0], [None]
        try:
            dist.send_object_list([order.to(self._sent)], dst=self._rank, group=ranks.orders)
            self._sent.add(order.key)
            dist.recv_object_list(reply, src=self._rank, group=ranks.replies)
        except RuntimeError as error:
            late = "Timed out" in str(error)
            why = f"gave no answer for {worker_timeout():g} seconds" if late else "is gone"
            raise WorkerError(
                f"Process {self._rank} of torchrun's 0 to {dist.get_world_size() - 1} {why}, so the run stops here; "
                f"{_GOES_ON}"
            ) from error
        if isinstance(reply[0], Exception):
            raise reply[0]
        assert isinstance(reply[0], Reply)
        return reply[0]

    def close(self) -> None:
        """Leave the process to torchrun."""


def run_first(program: Callable[[], int]) -> int:
    """Run a program in the first process and serve it in the others, which end here.

    Returns
    -------
    int
        The exit code, with which to ``leave``.

    Raises
    ------
    UserError
        Where the processes cannot be joined.
    """
    _leave_with_torchrun()
    ranks = _join()
    if dist.get_rank():
        _serve(ranks)
    _joined.append(ranks)
    try:
        code = program()
    except Exception:  # a mistake of this program
        traceback.print_exc()
        leave(1)
    finally:
        _joined.clear()
    if code == 0:
        for rank in range(1, dist.get_world_size()):
            dist.send_object_list([None], dst=rank, group=ranks.orders)
            dist.recv_object_list([None], src=rank, group=ranks.replies)  # or it might see this one leave first
    return code


def leave(code: int) -> NoReturn:
    """End this process at once: the libraries' own end would wait for processes that are gone."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _leave_with_torchrun() -> None:
    """End this process soon after the one that started it: torchrun does not when it is killed itself."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, name="torchrun", daemon=True).start()


def _join() -> _Ranks:
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    timeout = timedelta(seconds=worker_timeout())
    try:
        store, rank, size = next(rendezvous("env://", timeout=timeout))
        # A restart finds the addresses of the processes before it in the same store, and would wait for them.
        store = PrefixStore(f"acculturate/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=timeout)
        return _Ranks(orders=dist.new_group(timeout=_EVER), replies=dist.group.WORLD)
    except (RuntimeError, ValueError) as error:
        raise WorkerError(f"The processes of torchrun cannot be joined: {first_line(error)}.") from error


def _serve(ranks: _Ranks) -> NoReturn:
    """Answer orders until the first process sends this one away, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # and it alone has something to say
    warnings.simplefilter("ignore")
    from acculturate.model.pool.worker import Worker

    worker = Worker()
    try:
        while (order := _received(ranks)) is not None:
            dist.send_object_list([worker.reply(order)], dst=0, group=ranks.replies)
    except RuntimeError:  # the first process is gone, and has said why if it could
        leave(1)
    with suppress(RuntimeError):
        dist.send_object_list([None], dst=0, group=ranks.replies)
    leave(0)


def _received(ranks: _Ranks) -> Order | None:
    order: list[Any] = [None]
    dist.recv_object_list(order, src=0, group=ranks.orders)
    return order[0]
