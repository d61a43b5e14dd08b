"""What a request is refused with: a status and an error in the shape of OpenAI's API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from acculturate.errors import UserError, first_line


class RequestError(UserError):
    """Refuse a request in one sentence, with a status of HTTP and a code for programs.

    Parameters
    ----------
    sentence
        What is wrong and what to do.
    status
        Status of HTTP.
    code
        For programs, like ``model_not_found``.
    parameter
        The parameter of the request that is wrong, where it is one.
    """

    def __init__(
        self, sentence: str, status: int = 400, *, code: str | None = None, parameter: str | None = None
    ) -> None:
        super().__init__(sentence)
        self.status, self.code, self.parameter = status, code, parameter


def failed(error: Exception, complain: Callable[[str], None]) -> RequestError:
    """Complain of what is nobody's mistake, and return what its request is answered with."""
    complain(f"a request failed: {type(error).__name__}: {first_line(error)}")
    return RequestError("The server failed on this request; its own messages say why.", 500)


def error_body(error: UserError) -> dict[str, Any]:
    """Write an error as OpenAI's API does."""
    refusal = error if isinstance(error, RequestError) else RequestError(str(error))
    kind = "server_error" if refusal.status >= 500 else "invalid_request_error"
    return {"error": {"message": str(error), "type": kind, "param": refusal.parameter, "code": refusal.code}}


def status_of(error: UserError) -> int:
    """Tell the status of HTTP that an error is answered with."""
    return error.status if isinstance(error, RequestError) else 400
