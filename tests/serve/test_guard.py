"""Who may ask the server, and what it says to whoever may not, over a plain socket."""

from __future__ import annotations

import http.client
import json
import socket

import pytest
from conftest import serving

from acculturate.serve import guard
from acculturate.serve.guard import is_loopback

CHAT = {"model": "untuned", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}


def asked(port: int, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if content is not None:
        named = {"Content-Type": "application/json"} | named
    connection.request(method, path, content, named)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text)


def refused(answer: tuple[int, dict], status: int, words: str) -> None:
    assert answer[0] == status
    error = answer[1]["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert words in error["message"]
    assert "Traceback" not in error["message"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:8000", "127.9.9.9"])
def test_this_machine_may_ask_by_its_own_names(served, host) -> None:
    assert asked(served.port, "GET", "/v1/models", Host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "",
        "localhost.",
        "0.0.0.0",
        "[",
        "10.0.0.1",
        "evil@127.0.0.1",
        "evil:x@localhost:1",
    ],
)
def test_another_name_of_this_machine_is_refused(served, host) -> None:
    refused(asked(served.port, "GET", "/v1/models", Host=host), 403, "answers to 127.0.0.1")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "file://", "http://["]
)
def test_pages_of_other_sites_are_refused(served, origin) -> None:
    refused(asked(served.port, "POST", "/v1/chat/completions", CHAT, Origin=origin), 403, "may not use this server")


def test_pages_of_this_machine_may_ask(served) -> None:
    assert asked(served.port, "POST", "/v1/chat/completions", CHAT, Origin="http://localhost:3000")[0] == 200


def test_an_exposed_server_answers_to_any_name_and_to_its_own_pages_alone(prompts) -> None:
    for served in serving(prompts, exposed=True):
        assert asked(served.port, "GET", "/v1/models", Host="box.example")[0] == 200
        own = asked(served.port, "GET", "/v1/models", Host="box.example:80", Origin="http://box.example")
        assert own[0] == 200
        other = asked(served.port, "GET", "/v1/models", Host="box.example", Origin="http://evil.example")
        refused(other, 403, "may not use")


@pytest.mark.parametrize(
    "body, headers, status, words",
    [
        (b"{", {}, 400, "no JSON"),
        (b"[" * 100_000, {}, 400, "no JSON"),
        (b'{"temperature": NaN}', {}, 400, "no JSON"),
        (b'{"n": ' + b"9" * 5000 + b"}", {}, 400, "no JSON"),
        (b"[1]", {}, 400, "no table of parameters"),
        (b"{}", {}, 400, "is missing"),
        (b"\xff\xfe{}", {}, 400, "no"),
        (b"{}", {"Content_Type": "text/plain"}, 415, "application/json"),
        (b" " * (guard.MOST_BYTES + 1), {}, 413, "larger than 1 MiB"),
        (json.dumps(CHAT | {"model": "\x1b[2J"}).encode(), {}, 404, "There is no model"),
        (json.dumps(CHAT | {"messages": [{"role": "user", "content": 5}]}).encode(), {}, 400, "no text"),
        (json.dumps(CHAT | {"n": True}).encode(), {}, 400, "'n' cannot be true"),
        (json.dumps(CHAT | {"echo": 0}).encode(), {}, 400, "does not offer it"),
        (json.dumps(CHAT | {"seed": 2**64}).encode(), {}, 400, "'seed'"),
    ],
)
def test_bodies_that_are_no_request_are_refused(served, body, headers, status, words) -> None:
    answer = asked(served.port, "POST", "/v1/chat/completions", body, **headers)
    refused(answer, status, words)
    assert "\x1b" not in answer[1]["error"]["message"]
    assert not served.complaints


def test_a_body_without_end_is_cut_off(served, monkeypatch) -> None:
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as line:
        line.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        block = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        try:
            for _ in range(40):
                line.sendall(block)
        except OSError:
            pass
        assert b"413" in line.recv(4096)
    monkeypatch.setattr(guard, "MOST_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as line:
        line.sendall(f"{head}Content-Length: 50\r\n\r\n{{".encode())
        assert b"408" in line.recv(4096)


def test_other_paths_and_methods_are_refused_as_json(served) -> None:
    refused(asked(served.port, "GET", "/"), 404, "no such path")
    refused(asked(served.port, "GET", "/v1/../../etc/passwd"), 404, "no such path")
    refused(asked(served.port, "GET", "/v1/chat/completions"), 405, "another method")
    refused(asked(served.port, "OPTIONS", "/v1/chat/completions"), 405, "another method")
    refused(asked(served.port, "GET", "/v1/models/nobody"), 404, "no such model")


def test_loopback_names() -> None:
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "::1", "127.8.8.8"]))
    assert not any(map(is_loopback, [None, "", "0.0.0.0", "::", "example.org", "localhost.example.org"]))


def test_too_many_open_requests_are_refused_as_json(served, monkeypatch) -> None:
    monkeypatch.setattr(guard, "MOST_OPEN", 0)
    refused(asked(served.port, "GET", "/v1/models"), 503, "try again later")
    monkeypatch.undo()
    assert asked(served.port, "GET", "/v1/models")[0] == 200
