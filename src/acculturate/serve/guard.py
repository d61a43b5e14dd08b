"""Who may ask: requests to this machine's own name, from no other site, of a bounded size and time."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from acculturate.legible import shown
from acculturate.serve.request_error import RequestError, error_body

MOST_BYTES = 2**20
"""Bytes of a request's body, at most."""

MOST_OPEN = 512
"""Requests that are answered at a time, or wait, at most."""

MOST_SECONDS = 30.0
"""Seconds that a body may take to arrive."""


class Guard:
    """Let through to an application only requests that come from this machine, or from whoever may see an exposed one.

    A page of another site cannot read an answer, but its browser would send a request, and a name of its own that
    leads to the loopback address would make it the same site. ``Origin`` and ``Host`` give both away.

    Parameters
    ----------
    app
        The application.
    exposed
        Whether other machines may ask, by whatever name they have for this one.
    """

    def __init__(self, app: ASGIApp, *, exposed: bool) -> None:
        self._app, self._exposed = app, exposed
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 403, or with 503 where too many are open."""
        if scope["type"] != "http":
            return
        if (refusal := self._refusal(Headers(scope=scope))) is not None:
            await JSONResponse(error_body(refusal), refusal.status)(scope, receive, send)
            return
        self._open += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._open -= 1

    def _refusal(self, headers: Mapping[str, str]) -> RequestError | None:
        if self._open >= MOST_OPEN:
            return RequestError(f"{MOST_OPEN} requests are open already; try again later.", 503, code="overloaded")
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._exposed and not is_loopback(_name(f"//{host}")):
            return RequestError(
                f"This server answers to 127.0.0.1 and localhost, not to {shown(host)}.", 403, code="wrong_host"
            )
        if origin is None:
            return None
        named = _name(origin)
        if is_loopback(named) if not self._exposed else named is not None and named == _name(f"//{host}"):
            return None
        return RequestError(f"Pages of {shown(origin)} may not use this server.", 403, code="wrong_origin")


def is_loopback(name: str | None) -> bool:
    """Tell whether a name or an address is this machine's own."""
    if name is None:
        return False
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _name(address: str) -> str | None:
    """Take the host out of an address; None where there is none, or a user's name stands before it."""
    try:
        parts = urlsplit(address)
        return None if "@" in parts.netloc else parts.hostname
    except ValueError:
        return None


async def json_body(request: Request) -> object:
    """Read a request's body, which has to be JSON, whole and soon; raises ``RequestError`` where it is not."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError("The body of a request is JSON; send it as application/json.", 415)
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:20]) > MOST_BYTES:
        raise _too_large()
    content = bytearray()
    try:
        async with asyncio.timeout(MOST_SECONDS):
            async for part in request.stream():
                content += part
                if len(content) > MOST_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise RequestError(f"The body did not arrive within {MOST_SECONDS:g} seconds.", 408) from None
    except ClientDisconnect:
        raise RequestError("The client left before its request was whole.", 400) from None
    try:
        body = json.loads(bytes(content), parse_constant=_no_number)
        # JSON can spell out half of a character, which no text holds and no tokenizer reads.
        json.dumps(body, ensure_ascii=False).encode("utf-8")
        return body
    except (ValueError, RecursionError):
        raise RequestError("The body is no JSON, or holds numbers that are none.") from None


def _no_number(name: str) -> float:
    raise ValueError(name)


def _too_large() -> RequestError:
    return RequestError(f"The body is larger than {MOST_BYTES // 2**20} MiB.", 413)
