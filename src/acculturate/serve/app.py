"""The paths of the server: models, chat completions and completions, as OpenAI's API has them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from acculturate.errors import UserError
from acculturate.runs.prompts import UNTUNED, Prompts, StoredPrompt
from acculturate.serve.answering import Answering, Event
from acculturate.serve.answers import Answer
from acculturate.serve.guard import Guard, json_body
from acculturate.serve.questions import Question, chat_question, text_question
from acculturate.serve.request_error import RequestError, error_body, failed, status_of
from acculturate.serve.worker import Job, Worker

Endpoint = Callable[[Request], Awaitable[Response]]

_GONE = 499
"""The status for a client that left, which nobody reads."""


def application(prompts: Prompts, worker: Worker, complain: Callable[[str], None], *, exposed: bool = False) -> ASGIApp:
    """Make the application that answers with the prompts of one model.

    Parameters
    ----------
    prompts
        The model and its prompts by name.
    worker
        The thread that computes.
    complain
        Is told in a sentence what went wrong that is nobody's mistake.
    exposed
        Whether other machines may ask.
    """
    answering = Answering(prompts.respondent, prompts.by_name)
    models = [_model(one) for one in prompts.stored] + [_model(None)]

    async def list_models(_request: Request) -> Response:
        return JSONResponse({"object": "list", "data": models})

    async def one_model(request: Request) -> Response:
        name = request.path_params["name"]
        for model in models:
            if model["id"] == name:
                return JSONResponse(model)
        raise RequestError("There is no such model; GET /v1/models lists them.", 404, code="model_not_found")

    async def chat(request: Request) -> Response:
        return await answer(request, chat_question(await json_body(request)), chat=True)

    async def text(request: Request) -> Response:
        return await answer(request, text_question(await json_body(request)), chat=False)

    async def answer(request: Request, question: Question, *, chat: bool) -> Response:
        answering.check(question)
        job: Job[Event] = Job(lambda tell: answering(question, tell))
        worker.submit(job)
        return await _answered(request, job, Answer(question, chat=chat), stream=question.stream)

    def route(path: str, endpoint: Endpoint, method: str) -> Route:
        return Route(path, _with_errors_as_json(endpoint, complain), methods=[method])

    routes = [
        route("/v1/models", list_models, "GET"),
        route("/v1/models/{name:path}", one_model, "GET"),
        route("/v1/chat/completions", chat, "POST"),
        route("/v1/completions", text, "POST"),
    ]
    return Guard(Starlette(routes=routes, exception_handlers={HTTPException: _no_such_path}), exposed=exposed)


def _model(stored: StoredPrompt | None) -> dict[str, Any]:
    name = UNTUNED if stored is None else stored.name
    about: dict[str, Any] = {"id": name, "object": "model", "created": 0, "owned_by": "acculturate"}
    if stored is not None:
        about |= {"slot": stored.prompt.slot, "virtual_tokens": len(stored.prompt.vectors)}
        if stored.verdict is not None:
            about["verdict"] = stored.verdict.headline
    return about


def _with_errors_as_json(endpoint: Endpoint, complain: Callable[[str], None]) -> Endpoint:
    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except UserError as error:
            return JSONResponse(error_body(error), status_of(error))
        except Exception as error:
            failure = failed(error, complain)
            return JSONResponse(error_body(failure), failure.status)

    return answered


async def _no_such_path(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    sentence = "This path takes another method." if status == 405 else "There is no such path; see docs/serving.md."
    headers = getattr(error, "headers", None)
    return JSONResponse(error_body(RequestError(sentence, status)), status, headers=headers)


async def _answered(request: Request, job: Job[Event], answer: Answer, *, stream: bool) -> Response:
    """Wait for an answer, or for its first event where it is streamed; stop the job of a client that leaves."""
    events = job.events()
    # A mistake that shows only when the text is encoded is still answered with its own status.
    awaited = _first(events) if stream else _all(events)
    waiting, leaving = asyncio.ensure_future(awaited), asyncio.ensure_future(_left(request))
    handed_on = False
    try:
        await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            return Response(status_code=_GONE)
        first = waiting.result()
        if stream:
            handed_on = True
            return _Stream(_sent(first, events, answer), job)
        for event in first:
            answer.add(event)
        return JSONResponse(answer.whole())
    finally:
        leaving.cancel()
        if not handed_on:
            waiting.cancel()
            job.cancel()


async def _all(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]


async def _first(events: AsyncIterator[Event]) -> list[Event]:
    async for event in events:
        return [event]
    return []


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _sent(first: Sequence[Event], events: AsyncIterator[Event], answer: Answer) -> AsyncIterator[str]:
    """Write an answer as server-sent events, while it is made."""
    for event in first:
        answer.add(event)
    for chunk in answer.opening():
        yield _event(chunk)
    try:
        async with aclosing(events):  # type: ignore[type-var]
            async for event in events:
                for chunk in answer.chunks(event):
                    yield _event(chunk)
    except UserError as error:
        yield _event(error_body(error))
        return
    for chunk in answer.closing():
        yield _event(chunk)
    yield "data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, allow_nan=False, separators=(',', ':'))}\n\n"


class _Stream(StreamingResponse):
    """Send events, and stop their job when the client is gone, whenever that is."""

    def __init__(self, events: AsyncIterator[str], job: Job[Event]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"cache-control": "no-store"})
        self._job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._job.cancel()
