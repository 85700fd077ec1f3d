"""Imitations, where no package brings the real program: they answer as it does, on real sockets.

What is theirs to show is not that the program is known (its answers stand in
``tests/guard/preflight``) but that preflight gets to see them: inside TLS, in MongoDB's own words,
behind a redirect, on a path that alone is open, and never on a path that is not.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.e2e.stage import Stage

from underpass.gatehouse.preflight import look as looking
from underpass.gatehouse.preflight.look import (
    PREFLIGHT_SECONDS,
    Looked,
    OriginAway,
    Subject,
    look,
)
from underpass.guard.gates import forge
from underpass.guard.oauth.origin_gate import OriginOAuthGate
from underpass.guard.outcomes import Pass
from underpass.guard.peer import Peer
from underpass.guard.preflight.openness import openness_of
from underpass.http.messages import RequestHead
from underpass.model.gate_rules import parse_gates
from underpass.model.origin import parse_origin
from underpass.model.spec import TunnelSpec
from underpass.testing.certificates import self_signed, server_context

PODS = b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":null}'
WORKBENCH = b'<meta id="vscode-workbench-web-configuration" data-settings="{}">'


class Web:
    """An HTTP server that answers by a table and remembers what it was asked."""

    def __init__(self, pages: dict[str, bytes]) -> None:
        self.pages = pages
        self.asked: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode("latin-1").split()
        while (await reader.readline()).strip():
            pass
        if len(line) == 3:
            self.asked.append(f"{line[0]} {line[1]}")
            body = self.pages.get(line[1], b"")
            start = b"HTTP/1.1 404 Not Found" if not body else b"HTTP/1.1 200 OK"
            if body.startswith(b"to:"):
                start = b"HTTP/1.1 302 Found\r\nLocation: " + body[3:]
            length = b"\r\nContent-Length: %d\r\n\r\n" % len(body)
            writer.write(start + length + body)
        writer.close()


async def mongodb(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.read(4096)
    if head.startswith(b"GET"):
        said = (
            b"It looks like you are trying to access MongoDB over HTTP on the native driver port.\n"
        )
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
    elif len(head) > 16 and struct.unpack_from("<i", head, 12)[0] == 2013:
        body = b"\x04databases\0\x05\0\0\0\0" + b"\x01ok\0" + struct.pack("<d", 1.0)
        body = struct.pack("<I", 0) + b"\0" + struct.pack("<i", len(body) + 5) + body + b"\0"
        number = struct.unpack_from("<i", head, 4)[0]
        writer.write(struct.pack("<iiii", len(body) + 16, 1, number, 2013) + body)
    writer.close()


@asynccontextmanager
async def serving(serve: Callable[..., object], *, tls: bool = False) -> AsyncIterator[int]:
    context = server_context(self_signed("localhost")) if tls else None
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:  # type: ignore[arg-type]
        yield server.sockets[0].getsockname()[1]


async def look_at(
    origin: str, *gates: str, public: bool = True, seconds: float = PREFLIGHT_SECONDS
) -> Looked:
    plain, rules = parse_gates(gates)
    spec = TunnelSpec(parse_origin(origin), gates=plain, rules=rules, public=public)
    makers = {"oauth": lambda gate, materials: OriginOAuthGate()}
    guard = forge(spec.gates, rules=spec.rules, public=spec.public, makers=makers).guard

    def admits(head: RequestHead) -> bool:
        return isinstance(guard.judge_http(head, Peer("203.0.113.77")), Pass)

    subject = Subject(spec.origin, spec.kind, spec.peer, openness_of(spec), None, admits)
    return await look(subject, seconds=seconds)


def codes(looked: Looked) -> list[str]:
    return [finding.code for finding in looked.findings]


async def test_a_kubelet_is_found_inside_its_tls():
    async with serving(Web({"/pods": PODS}), tls=True) as port:
        assert codes(await look_at(f"tcp://127.0.0.1:{port}")) == ["machine-kubelet"]


async def test_a_page_inside_tls_is_let_be():
    async with serving(Web({"/": b"<title>hello</title>"}), tls=True) as port:
        looked = await look_at(f"tcp://127.0.0.1:{port}")
        assert (codes(looked), looked.is_whole) == ([], True)


@pytest.mark.parametrize("origin", ["tcp://127.0.0.1:{}", "{}"])
async def test_a_mongodb_is_found_in_its_own_words(origin: str):
    async with serving(mongodb) as port:
        assert codes(await look_at(origin.format(port))) == ["database-mongodb"]


@pytest.mark.parametrize("to", [b"/editor/", b"./editor/", b"http://localhost/editor/"])
async def test_a_page_behind_a_redirect_is_found(to: bytes):
    web = Web({"/": b"to:" + to, "/editor/": WORKBENCH})
    async with serving(web) as port:
        assert codes(await look_at(str(port))) == ["notebook-code-server"]


async def test_a_redirect_elsewhere_is_not_followed():
    web = Web({"/": b"to://elsewhere.example/editor/", "/editor/": WORKBENCH})
    async with serving(web) as port:
        assert codes(await look_at(str(port))) == []


async def test_below_a_prefix_that_is_open_all_is_asked_again():
    web = Web({"/api/version/": b"x", "/k8s/pods": PODS})
    async with serving(web) as port:
        looked = await look_at(str(port), "bearer", "/k8s/*=open", public=False)
    (finding,) = looked.findings
    assert (finding.code, finding.where) == ("machine-kubelet", "GET /k8s/pods")
    assert all(asked.split()[1].startswith("/k8s/") for asked in web.asked)


async def test_what_a_gate_keeps_from_strangers_is_not_asked_for():
    web = Web({"/pods": PODS, "/debug/pprof/": b"<title>/debug/pprof/</title>goroutine?debug=1"})
    async with serving(web) as port:
        looked = await look_at(str(port), "/pods=bearer", "/debug/*=bearer")
    assert codes(looked) == []
    assert web.asked
    assert not {"GET /pods", "GET /debug/pprof/"} & set(web.asked)


async def test_no_post_is_sent_to_where_no_server_is_expected():
    web = Web({"/": b"<title>hello</title>"})
    async with serving(web) as port:
        looked = await look_at(str(port))
    posted = {asked for asked in web.asked if not asked.startswith("GET ")}
    assert posted == {"POST /mcp"}
    assert looked.asked == len(web.asked) < 40


async def test_an_origin_that_is_not_there_is_away(free_port: int):
    with pytest.raises(OriginAway):
        await look_at(str(free_port))


async def test_a_control_socket_of_another_user_is_found(
    stage: Stage, short_path: Path, tmp_path: Path
):
    """No imitation: a running `underpass open` of somebody whose sockets we do not know."""
    home = tmp_path / "ben"
    home.mkdir()
    other = Stage(home, short_path)
    try:
        async with serving(Web({"/": b"hello"})) as port:
            await other.open(str(port), "--name", "bens")
            (socket,) = short_path.glob("*.sock")  # noqa: ASYNC240
            done = await stage.run("open", f"unix://{socket}", "--public", "--for", "1m", "--json")
    finally:
        await other.strike()
    found = [each["code"] for each in done.json["error"].get("findings", [])]
    assert (done.json["error"]["code"], found) == ("dangerous-origin", ["underpass-control"])


async def test_the_metrics_of_another_users_relay_are_found(stage: Stage, free_port: int):
    """No imitation either."""
    await stage.somebody_else("ben").relay("--metrics-listen", f"127.0.0.1:{free_port}")
    done = await stage.run("open", str(free_port), "--public", "--for", "10m", "--json")
    found = [each["code"] for each in done.json["error"].get("findings", [])]
    assert (done.json["error"]["code"], found) == ("dangerous-origin", ["underpass-metrics"])


async def test_an_origin_that_answers_slowly_is_waited_for():
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        if target == b"/pods":
            await asyncio.sleep(2.5)  # longer than a first question waits
        body = PODS if target == b"/pods" else b"not here"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    async with serving(slow) as port:
        looked = await look_at(str(port))
    assert (codes(looked), looked.is_whole) == (["machine-kubelet"], True)


async def test_an_answer_that_never_comes_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(looking, "LATE_SECONDS", 0.5)

    async def silent_about_pods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.readuntil(b"\r\n\r\n")).split()[1] == b"/pods":
            await reader.read()  # until preflight hangs up
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with serving(silent_about_pods) as port:
        looked = await look_at(str(port))
    assert (codes(looked), looked.is_whole) == ([], False)
