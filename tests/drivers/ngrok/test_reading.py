"""What lines of the agent's log say; those of 2.3.41 are as it wrote them."""

from __future__ import annotations

import json

import pytest

from underpass.drivers.ngrok.reading import (
    MAX_LINE,
    SESSION_LOST,
    STOPPED,
    is_public_url,
    is_session,
    read_line,
)
from underpass.drivers.observations import Carrying, Faltering, Refusal
from underpass.testing.hostile import HOSTILE

pytestmark = pytest.mark.pure


def line(level: str, words: str, **facts: str) -> str:
    return json.dumps({"lvl": level, "msg": words, **facts})


@pytest.mark.parametrize(
    "url",
    ["https://a1.ngrok-free.app", "tcp://1.tcp.ngrok.io:12345", "https://x.ngrok.localhost:4443"],
)
def test_a_started_tunnel_says_where_visitors_come(url: str) -> None:
    told = line("info", "started tunnel", name="underpass", addr="http://127.0.0.1:1", url=url)
    assert read_line(told) == Carrying(url)


def test_where_tls_is_not_opened_visitors_come_by_https() -> None:
    for url in ("tls://tools.ngrok.app", "tls://tools.ngrok.app:443/"):
        found = read_line(line("info", "started tunnel", url=url))
        assert isinstance(found, Carrying)
        assert found.url == f"https{url.removeprefix('tls')}".rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        *("", "https://", "ftp://a.example", "https://evil@good.example", "https://a.example/x"),
        *("https://a.example?x", "tcp://a.example", "https://a.example:99999", "javascript:alert"),
        *(
            "https://a b",
            "https://a.example\n",
            "https://a.example#",
            "https://" + "a" * 400,
            "https://[::1",
        ),
    ],
)
def test_an_address_that_is_no_address_is_not_believed(url: str) -> None:
    assert read_line(line("info", "started tunnel", url=url)) is None
    assert not is_public_url(url)


def test_no_hostile_text_becomes_an_address_with_more_in_it() -> None:
    for text in HOSTILE:
        found = read_line(line("info", "started tunnel", url=f"https://{text}"))
        if isinstance(found, Carrying):
            assert found.url.isprintable()
            assert found.url.isascii()
            assert not set("@?#\\ '\"<>`$;|&") & set(found.url)


def test_a_lost_session_is_told_and_a_new_one_is_known() -> None:
    lost = line("eror", "session closed, starting reconnect loop", err="read EOF", obj="csess")
    found = read_line(lost)
    assert isinstance(found, Faltering)
    assert found.code == SESSION_LOST
    back = '{"id":"75eb","lvl":"info","msg":"client session established","obj":"csess"}'
    assert read_line(back) is None
    assert is_session(back)
    assert not is_session(lost)


@pytest.mark.parametrize(
    ("error", "code", "fatal"),
    [
        ("dial tcp 127.0.0.1:1: connect: connection refused", "far-end-unreachable", False),
        ("dial tcp: lookup connect.ngrok-agent.com: no such host", "far-end-unreachable", False),
        ("failed to establish tcp connection", "far-end-unreachable", False),
        ("x509: certificate signed by unknown authority", "far-end-untrusted", True),
        ("failed to connect session tls handshake error", "far-end-untrusted", True),
        ("tls: first record does not look like a TLS handshake", "far-end-strange", False),
        ("read EOF from remote peer", "far-end-closed", False),
        ("listen tcp 127.0.0.1:4040: bind: address already in use", "port-taken", False),
    ],
)
@pytest.mark.parametrize("words", ["failed to reconnect session", "command failed"])
def test_a_network_that_fails_is_told_with_its_cause(
    error: str, code: str, fatal: bool, words: str
) -> None:
    found = read_line(line("eror", words, err=error))
    assert isinstance(found, Refusal)
    assert (found.code, found.fatal) == (code, fatal)
    assert found.hint


def test_a_stop_from_the_dashboard_is_told_as_such() -> None:
    for told in (line("info", "received remote stop"), line("eror", "stopped from afar", err="")):
        found = read_line(told)
        assert isinstance(found, Refusal)
        assert (found.code, found.fatal) == (STOPPED, False)


def test_the_last_words_for_people_are_understood_too() -> None:
    found = read_line("ERROR:  ERR_NGROK_108")
    assert isinstance(found, Refusal)
    assert found.code == "session-limit"


@pytest.mark.parametrize(
    "told",
    [
        "",
        "{",
        "[]",
        '"ERR_NGROK_105"',
        "visitor said ERR_NGROK_105",
        line("info", "join connections", l="127.0.0.1:1", r="ERR_NGROK_105"),
        line("warn", "failed to check for update", err="lookup update.equinox.io"),
        line("eror", "no tunnel found for proxy"),
        line("info", "received stop request", obj="app"),
        line("eror", "failed to reconnect session", err="something that nobody has seen"),
        "{" + "[" * 100_000,
        "\x00" * 5_000,
    ],
)
def test_other_lines_say_nothing(told: str) -> None:
    assert read_line(told) is None


def test_a_line_is_read_as_far_as_its_limit() -> None:
    long = line("info", "started tunnel", pad="x" * MAX_LINE, url="https://a.example")
    assert read_line(long) is None
