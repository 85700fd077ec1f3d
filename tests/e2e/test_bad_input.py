"""Bad input: a clear error with code and hint, its exit code, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
from tests.e2e.odd_relay import odd_relay
from tests.e2e.stage import Done, Stage

from underpass.testing.certificates import self_signed, server_context
from underpass.testing.origins.http import HttpOrigin
from underpass.testing.origins.tcp import Refuser, TlsOrigin


def check(done: Done, code: str, exit_code: int) -> dict[str, str]:
    """The one error object; the hint is one that can be followed."""
    (told,) = done.lines
    error = told["error"]
    assert list(error) == ["code", "message", "hint", "retryable"]
    assert (error["code"], done.code) == (code, exit_code)
    assert error["message"].startswith("cannot ")
    assert done.err == "" or "Traceback" not in done.err
    return dict(error)


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (("ftp://localhost:3001",), "unknown-scheme", 2),
        (("70000",), "port-out-of-range", 2),
        (("localhost:0",), "port-out-of-range", 2),
        (("http://user:secret@localhost:1",), "origin-has-credentials", 2),
        (("localhost:x",), "origin-malformed", 2),
        (("3001", "--name", "No_Name"), "name-invalid", 2),
        (("3001", "--gate", "magic"), "gate-unknown", 2),
        (("3001", "--gate", "ip:10.0.0.1/8"), "gate-malformed", 2),
        (("3001", "--public"), "public-needs-duration", 4),
        (("3001", "--public", "--for", "2h"), "public-needs-duration", 4),
        (("3001", "--public", "--for", "1h", "--gate", "bearer"), "gate-conflict", 2),
        (("3001", "--for", "soon"), "duration-invalid", 2),
        (("tcp://localhost:1", "--gate", "basic"), "gate-unsupported", 2),
        (("tcp://localhost:1", "--health-path", "/"), "option-conflict", 2),
        (("3001", "--relay", "ftp://relay"), "relay-url-invalid", 2),
        (("3001", "--relay", "http://relay.example.com"), "relay-url-invalid", 2),
        (("3001", "--run", "--", "/no/such/program"), "command-not-found", 2),
        (("3001", "--timeout"), "usage", 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
async def test_what_cannot_be_meant(
    stage: Stage, words: tuple[str, ...], code: str, exit_code: int
):
    done = await stage.run("open", *_with_json(words))
    assert "secret@" not in check(done, code, exit_code)["message"]
    assert await stage.leftovers() == []


def _with_json(words: tuple[str, ...]) -> tuple[str, ...]:
    at = words.index("--") if "--" in words else len(words)
    return (*words[:at], "--json", *words[at:]) if words[-1] != "--timeout" else ("--json", *words)


async def test_people_read_code_sentence_and_hint_on_stderr(stage: Stage):
    done = await stage.run("open", "70000")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        "error[port-out-of-range]: cannot use port 70000 in '70000': ports are 1 to 65535",
        "hint: write the port your service listens on: ss -ltn shows them",
    ]


async def test_an_origin_that_refuses(stage: Stage):
    async with Refuser() as refuser:
        done = await stage.run("open", str(refuser.port), "--timeout", "2", "--json")
    error = check(done, "origin-refused", 5)
    assert error["hint"] == "start the service, or check where it listens: ss -ltnp"
    assert await stage.leftovers() == []


async def test_an_origin_that_speaks_tls_on_a_plain_port(stage: Stage):
    """Told at once: waiting cannot help."""
    async with TlsOrigin() as origin:
        done = await stage.run("open", str(origin.port), "--health-path", "/", "--json")
        error = check(done, "origin-speaks-tls", 5)
        assert error["hint"].endswith(f"tcp://localhost:{origin.port}")
    assert await stage.leftovers() == []


async def test_a_relay_whose_clock_is_elsewhere(stage: Stage, origin: HttpOrigin):
    async with odd_relay(clock=3600.0) as url:
        done = await stage.run("open", str(origin.port), "--relay", url, "--timeout", "8", "--json")
    error = check(done, "clock-wrong", 1)
    assert "set the clock" in error["hint"]
    assert await stage.leftovers() == []


async def test_a_relay_that_is_too_old(stage: Stage, origin: HttpOrigin):
    async with odd_relay(version=0) as url:
        done = await stage.run("open", str(origin.port), "--relay", url, "--timeout", "8", "--json")
    error = check(done, "relay-too-old", 7)
    assert error["message"].endswith("it speaks wire version 0, this is 1")
    assert await stage.leftovers() == []


async def test_a_relay_that_refuses_for_a_reason_of_its_own(stage: Stage, origin: HttpOrigin):
    async with odd_relay(refuses_with="on-strike") as url:
        done = await stage.run("open", str(origin.port), "--relay", url, "--timeout", "8", "--json")
    assert "'on-strike'" in check(done, "relay-refused", 7)["message"]
    assert await stage.leftovers() == []


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("lease-expired", 4),
        ("name-not-yours", 4),
        ("name-contended", 9),
        ("tls-intercepted", 7),
        ("no-public-ports", 4),
        ("too-many-names", 4),
    ],
)
async def test_what_a_relay_says_keeps_its_code(
    stage: Stage, origin: HttpOrigin, code: str, exit_code: int
):
    async with odd_relay(refuses_with=code) as url:
        done = await stage.run("open", str(origin.port), "--relay", url, "--timeout", "8", "--json")
    check(done, code, exit_code)


async def test_nobody_where_the_relay_should_be(stage: Stage, origin: HttpOrigin, free_port: int):
    url = f"http://127.0.0.1:{free_port}"
    done = await stage.run("open", str(origin.port), "--relay", url, "--timeout", "2", "--json")
    check(done, "relay-unreachable", 7)
    assert await stage.leftovers() == []


async def test_a_web_server_where_the_relay_should_be(stage: Stage, origin: HttpOrigin):
    url = f"http://127.0.0.1:{origin.port}"
    done = await stage.run("open", str(origin.port), "--relay", url, "--timeout", "3", "--json")
    assert done.code != 0
    assert done.lines[0]["error"]["code"] in ("relay-unreachable", "protocol-violation")
    assert await stage.leftovers() == []


async def test_a_relay_without_an_enrolment_token(stage: Stage, origin: HttpOrigin):
    relay = await stage.relay()
    done = await stage.run("open", str(origin.port), "--relay", relay.url, "--json")
    check(done, "key-unknown", 4)
    wrong = stage.home / "wrong-token"
    wrong.touch(mode=0o600)
    wrong.write_text("not the token\n")
    words = ("--relay", relay.url, "--enrol-token-file", str(wrong), "--json")
    check(await stage.run("open", str(origin.port), *words), "enrolment-refused", 4)
    wrong.chmod(0o644)
    error = check(await stage.run("open", str(origin.port), *words), "loose-mode", 1)
    assert str(wrong) in error["message"]
    assert "0644" in error["message"]
    assert error["hint"] == f"chmod 0600 {wrong}"


async def test_a_state_directory_that_lets_others_in(stage: Stage, origin: HttpOrigin):
    stage.state.mkdir(mode=0o755)
    stage.state.chmod(0o755)
    error = check(await stage.run("open", str(origin.port), "--json"), "loose-mode", 1)
    assert str(stage.state) in error["message"]
    assert await stage.leftovers() == []


SPELLINGS = ["{port}", "127.1:{port}", "[::ffff:127.0.0.1]:{port}", "localhost:{port}"]


@pytest.mark.parametrize("spelling", [*SPELLINGS, "0.0.0.0:{port}", "tcp://127.0.0.2:{port}"])
async def test_the_relays_own_port_is_never_exposed(stage: Stage, spelling: str):
    relay = await stage.relay()
    done = await stage.run("open", spelling.format(port=relay.port), "--json")
    assert "the relay" in check(done, "own-control-port", 4)["message"]
    assert [name for name in await stage.leftovers(0.5) if not _is_of(name, relay.pid)] == []


def _is_of(left: str, pid: int) -> bool:
    return left.startswith(f"{pid}:") or Path(left).name.startswith(f"{pid}-")


async def test_the_embedded_relay_is_never_exposed(stage: Stage, origin: HttpOrigin):
    tunnel = await stage.open(str(origin.port))
    for port in listening_ports(tunnel.pid) - {tunnel.port}:
        done = await stage.run("open", f"localhost:{port}", "--json")
        check(done, "own-control-port", 4)


async def test_the_api_socket_is_never_exposed(stage: Stage, origin: HttpOrigin, short_path: Path):
    await stage.open(str(origin.port))
    (door,) = stage.runtime.glob("*.sock")
    check(await stage.run("open", f"unix://{door}", "--json"), "own-control-port", 4)
    link = short_path / "link"
    link.symlink_to(door)
    check(await stage.run("open", f"unix://{link}", "--json"), "own-control-port", 4)
    twin = short_path / "twin"
    os.link(door, twin)
    check(await stage.run("open", f"tcp+unix://{twin}", "--json"), "own-control-port", 4)


def listening_ports(pid: int) -> set[int]:
    """Loopback ports that a process listens on."""
    import psutil

    connections = psutil.Process(pid).net_connections("tcp")
    return {each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN}


async def test_an_occupied_port_names_its_holder(stage: Stage):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        words = ("relay", "serve", "--dev", "--listen", address)
        done = await stage.run(*words, "--state", str(stage.home / "relay"), "--json")
    assert f"(pid {os.getpid()})" in check(done, "cannot-listen", 9)["message"]


async def test_a_certificate_that_nobody_vouches_for(stage: Stage, origin: HttpOrigin):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    context = server_context(self_signed("localhost"))
    context.set_alpn_protocols(["underpass/1"])
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        done = await stage.run("open", str(origin.port), "--relay", url, "--timeout", "8", "--json")
    error = check(done, "relay-certificate-wrong", 7)
    assert "--relay-ca FILE or --relay-fingerprint" in error["hint"]
    assert await stage.leftovers() == []
