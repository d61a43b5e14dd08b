"""A pool of workers: every order is answered once and in order, whoever is lost or fails."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable

import numpy as np
import pytest

from acculturate.errors import ModelError
from acculturate.model.pool.protocol import LostWorkerError, Order, Reply, WorkerError
from acculturate.model.pool.worker_pool import WorkerPool


def orders(n: int) -> list[Order]:
    return [Order("key", None, np.full((1, 1, 1), place, dtype=np.float32)) for place in range(n)]


def reply(prompts: np.ndarray) -> Reply:
    return Reply([], int(prompts[0, 0, 0]))


class Asked:
    """A worker that answers as a function does, and counts."""

    def __init__(self, ask: Callable[[int], None] = lambda _: None, *, ready: bool = True) -> None:
        self._ask, self._ready, self.asked, self.closed = ask, ready, [], False

    def ready(self) -> bool:
        return self._ready

    def ask(self, order: Order) -> Reply:
        self.asked.append(place := int(order.prompts[0, 0, 0]))
        self._ask(place)
        return reply(order.prompts)

    def close(self) -> None:
        self.closed = True


def places(replies: list[Reply]) -> list[int]:
    return [one.rows for one in replies]


def never(_prompts: np.ndarray) -> Reply:
    raise AssertionError("this process was to answer nothing")


def test_replies_come_in_the_order_of_the_orders() -> None:
    together = threading.Barrier(3)  # all three take one order before anyone takes a second

    def wait(_place: int) -> None:
        if together.n_waiting < 3 and not done.is_set():
            together.wait(10)
            done.set()

    done = threading.Event()
    workers = [Asked(wait), Asked(wait)]

    def own(prompts: np.ndarray) -> Reply:
        wait(0)
        return reply(prompts)

    assert places(WorkerPool(workers).respond(orders(9), own)) == list(range(9))
    assert all(worker.asked for worker in workers)


def test_one_order_stays_in_this_process_and_none_is_no_work() -> None:
    worker = Asked()
    assert places(WorkerPool([worker]).respond(orders(1), reply)) == [0]
    assert WorkerPool([worker]).respond([], reply) == []
    assert worker.asked == []


def test_a_pool_that_does_not_help_leaves_all_to_workers() -> None:
    worker = Asked()
    assert places(WorkerPool([worker], helps=False).respond(orders(4), never)) == [0, 1, 2, 3]
    assert worker.asked == [0, 1, 2, 3]


def test_workers_that_are_not_there_yet_are_asked_nothing() -> None:
    absent, there = Asked(ready=False), Asked()
    assert places(WorkerPool([absent, there], helps=False).respond(orders(3), never)) == [0, 1, 2]
    assert absent.asked == []


def test_what_a_lost_worker_was_asked_is_asked_again() -> None:
    def lose(_place: int) -> None:
        raise LostWorkerError("it fell over")

    pool = WorkerPool([lost := Asked(lose), other := Asked()], helps=False)
    with pytest.warns(UserWarning, match=r"gone \(it fell over\).* goes on with 1 process\."):
        assert places(pool.respond(orders(5), reply)) == list(range(5))
    assert lost.closed and not other.closed
    assert pool.workers == (other,)


def test_this_process_does_the_work_where_all_workers_are_lost() -> None:
    def lose(_place: int) -> None:
        raise LostWorkerError("it fell over")

    pool = WorkerPool([Asked(lose), Asked(lose)], helps=False)
    with pytest.warns(UserWarning, match="fell over"):
        assert places(pool.respond(orders(5), reply)) == list(range(5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert places(pool.respond(orders(2), reply)) == [0, 1]


def test_the_error_of_the_first_order_that_has_one_is_raised() -> None:
    def fail(place: int) -> None:
        if place >= 2:
            raise ModelError(f"Order {place} fails.")

    with pytest.raises(ModelError, match=r"^Order 2 fails\.$"):
        WorkerPool([Asked(fail)], helps=False).respond(orders(6), never)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), WorkerError("The run stops.")])
def test_the_end_of_the_program_waits_for_no_worker(error: BaseException) -> None:
    free = threading.Event()

    def own(_prompts: np.ndarray) -> Reply:
        raise error

    worker = Asked(lambda _: free.wait(20) and None)
    pool = WorkerPool([worker])
    with pytest.raises(type(error)):
        pool.respond(orders(6), own)
    assert pool.workers == ()
    free.set()
    assert len(worker.asked) <= 1


def test_after_an_error_of_this_process_workers_are_free_again() -> None:
    begun, answered = threading.Event(), []

    def slowly(place: int) -> None:
        begun.set()
        time.sleep(0.2)
        answered.append(place)

    def own(_prompts: np.ndarray) -> Reply:
        begun.wait(20)
        raise ModelError("This process fails.")

    with pytest.raises(ModelError, match="This process fails"):
        WorkerPool([Asked(slowly)]).respond(orders(6), own)
    assert len(answered) == 1
