"""Clients that leave, queues that are full, work that fails: the one thread goes on."""

from __future__ import annotations

import asyncio
import threading
import time

import openai
import pytest
from conftest import serving

from acculturate.errors import UserError
from acculturate.model.reply import Ending, Reply, write_reply
from acculturate.serve import worker as worker_module
from acculturate.serve.request_error import RequestError
from acculturate.serve.worker import Job, Worker

LONG = {"model": "untuned", "messages": [{"role": "user", "content": "Go on"}], "max_tokens": 900, "temperature": 1.0}


@pytest.fixture
def endless(prompts, monkeypatch):
    """A server whose replies end at their length alone, token by token."""
    monkeypatch.setitem(vars(prompts.respondent), "ends", [])
    yield from serving(prompts)


@pytest.fixture
def written(monkeypatch) -> list[Reply]:
    """Every reply that was computed."""
    replies: list[Reply] = []

    def write(*how) -> Reply:
        replies.append(write_reply(*how))
        return replies[-1]

    monkeypatch.setattr("acculturate.serve.answering.write_reply", write)
    return replies


def wait_until_idle(served) -> None:
    ends = time.monotonic() + 60
    while served.worker._current is not None or not served.worker._jobs.empty():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_a_client_that_leaves_stops_its_reply(endless, written) -> None:
    stream = endless.client().chat.completions.create(**LONG, stream=True)
    for _ in range(3):
        next(stream)
    stream.close()
    wait_until_idle(endless)
    impatient = endless.client().with_options(timeout=0.2)
    with pytest.raises(openai.APITimeoutError):
        impatient.chat.completions.create(**LONG)
    wait_until_idle(endless)
    assert [reply.ending for reply in written] == [Ending.CANCELLED] * 2
    assert all(len(reply.tokens) < 900 for reply in written)
    assert not endless.complaints


def test_a_client_that_leaves_the_queue_is_never_computed(endless, written) -> None:
    first = endless.client().chat.completions.create(**LONG, stream=True)
    next(first)
    with pytest.raises(openai.APITimeoutError):
        endless.client().with_options(timeout=0.1).chat.completions.create(**LONG)
    first.close()
    wait_until_idle(endless)
    answer = endless.client().chat.completions.create(**LONG | {"max_tokens": 2})
    assert answer.usage.completion_tokens == 2
    assert len(written) == 2


def ask_for_one_token(client: openai.OpenAI, errors: list[openai.APIStatusError]) -> None:
    try:
        client.chat.completions.create(**LONG | {"max_tokens": 1})
    except openai.APIStatusError as error:
        errors.append(error)


def test_a_full_queue_is_said_and_nothing_else_breaks(prompts, monkeypatch) -> None:
    monkeypatch.setattr(worker_module, "WAITING", 1)
    monkeypatch.setitem(vars(prompts.respondent), "ends", [])
    for served in serving(prompts):
        streams = [served.client().chat.completions.create(**LONG, stream=True)]
        next(streams[0])
        errors: list[openai.APIStatusError] = []

        asking = (served.client(), errors)
        threads = [threading.Thread(target=ask_for_one_token, args=asking) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        streams[0].close()
        for thread in threads:
            thread.join()
        assert [error.status_code for error in errors] == [503, 503]
        assert "try again later" in errors[0].message


def test_what_fails_is_complained_of_in_a_sentence_and_the_next_request_answered(prompts, monkeypatch) -> None:
    for served in serving(prompts):
        with monkeypatch.context() as broken:
            broken.setattr("acculturate.serve.answering.write_reply", lambda *_: 1 / 0)
            for stream in (False, True):
                with pytest.raises(openai.APIError) as failed:
                    for _ in served.client().chat.completions.create(**LONG, stream=stream):
                        pass
                assert "failed on this request" in str(failed.value)
        assert served.complaints == ["a request failed: ZeroDivisionError: division by zero"] * 2
        served.client().chat.completions.create(**LONG | {"max_tokens": 1})


def test_events_come_in_order_and_mistakes_at_their_end() -> None:
    complaints: list[str] = []
    worker = Worker(complaints.append)

    def work(tell) -> None:
        assert all(tell(k) for k in range(3))
        raise RequestError("No more.", 404)

    async def ask() -> list[int]:
        job: Job[int] = Job(work)
        worker.submit(job)
        seen: list[int] = []
        try:
            async for event in job.events():
                seen.append(event)
        except UserError as error:
            assert str(error) == "No more."
            return seen
        raise AssertionError("the mistake was lost")

    assert asyncio.run(ask()) == [0, 1, 2]
    worker.stop(5)
    assert not complaints
    assert not worker._thread.is_alive()


def test_a_worker_whose_queue_is_full_ends_too(monkeypatch) -> None:
    monkeypatch.setattr(worker_module, "WAITING", 1)
    worker = Worker(print)
    running, release = threading.Event(), threading.Event()

    def work(_tell) -> None:
        running.set()
        release.wait(30)

    async def fill() -> None:
        worker.submit(Job(work))
        assert running.wait(30)
        worker.submit(Job(work))

    asyncio.run(fill())
    threading.Timer(0.2, release.set).start()
    worker.stop(30)
    assert not worker._thread.is_alive()
