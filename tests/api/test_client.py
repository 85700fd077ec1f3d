from __future__ import annotations

import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from underpass.api.client import Call
from underpass.api.errors import Answered, ApiMisspoken
from underpass.model.errors_run import DaemonUnreachable, TimedOut


@contextmanager
def answering(path, answer: bytes):
    """A process that reads one request and answers it with these bytes."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()

        def serve() -> None:
            conn, _ = sock.accept()
            with conn:
                conn.recv(65536)
                conn.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(5)


def respond(status: str, body: bytes, *, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n\r\n".encode() + body


def test_an_answer_is_read_whole(runtime):
    path = runtime / "s"
    with answering(path, respond("200 OK", b'{"tunnels": []}')), Call(path, "GET", "/") as call:
        assert call.answer() == {"tunnels": []}


def test_an_answer_cut_short_is_not_taken_for_whole(runtime):
    path = runtime / "s"
    cut = respond("200 OK", b'{"tunnels": []}', length=100)
    with answering(path, cut), Call(path, "GET", "/") as call, pytest.raises(ApiMisspoken):
        call.answer()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        respond("200 OK", b"<html>"),
        respond("200 OK", b"[]"),
        respond("500 Oops", b'{"error": "text"}'),
        b"",
    ],
)
def test_a_stranger_on_the_socket_is_named_as_such(runtime, answer):
    path = runtime / "s"
    with answering(path, answer), Call(path, "GET", "/") as call:
        with pytest.raises(ApiMisspoken) as caught:
            call.answer()
        assert str(path) in caught.value.message


def test_an_error_keeps_its_code_sentence_and_hint(runtime):
    path = runtime / "s"
    body = (
        b'{"error": {"code": "name-taken", "message": "cannot take tools", "hint": "ask",'
        b' "retryable": true, "exit_code": 9}}'
    )
    with (
        answering(path, respond("409 Conflict", body)),
        Call(path, "GET", "/") as call,
        pytest.raises(Answered) as caught,
    ):
        call.answer()
    assert caught.value.to_dict() == {
        "code": "name-taken",
        "message": "cannot take tools",
        "hint": "ask",
        "retryable": True,
    }
    assert caught.value.exit_code == 9
    assert str(caught.value) == "cannot take tools"


def test_an_exit_code_out_of_range_is_not_believed(runtime):
    assert Answered({"exit_code": 0}).exit_code == 1
    assert Answered({"exit_code": 4000}).exit_code == 1


def test_a_stream_that_begins_with_an_error_raises_it(runtime):
    path = runtime / "s"
    body = b'{"error": {"code": "no-such-tunnel", "message": "cannot find x", "exit_code": 3}}'
    with (
        answering(path, respond("404 Not Found", body)),
        Call(path, "GET", "/") as call,
        pytest.raises(Answered) as caught,
    ):
        list(call.lines())
    assert caught.value.exit_code == 3


def test_nobody_listening_is_unreachable(runtime):
    with pytest.raises(DaemonUnreachable):
        Call(runtime / "absent", "GET", "/")


def test_silence_ends_in_time(runtime):
    path = runtime / "s"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        with Call(path, "GET", "/", seconds=0.05) as call, pytest.raises(TimedOut):
            call.answer()


def test_the_client_imports_neither_asyncio_nor_the_server():
    heavy = ("asyncio", "ssl", "msgspec", "starlette", "uvicorn", "http.client", "platformdirs")
    code = (
        "import sys, underpass.api.discovery;"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
