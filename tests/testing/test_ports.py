"""A port for a program that must be told its own is nobody's, and nobody gets it by chance."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from underpass.testing import ports
from underpass.testing.ports import free_port, free_ports


def test_it_can_be_bound_and_the_kernel_gives_it_to_nobody() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    with socket.create_server(("127.0.0.1", free_port())) as server:
        port = server.getsockname()[1]
    assert ports.LOWEST <= port < lowest


def test_a_row_with_one_that_is_held_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_ports(4).start
    with socket.create_server(("127.0.0.1", first + 1)):
        drawn = iter((first, first + 2))
        monkeypatch.setattr(ports.random, "randint", lambda low, high: next(drawn))
        assert free_ports(2) == range(first + 2, first + 4)


def test_datagrams_have_ports_of_their_own() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as held:
        port = held.getsockname()[1]
        assert not ports._is_free("127.0.0.1", port, socket.SOCK_STREAM)
        assert ports._is_free("127.0.0.1", port, socket.SOCK_DGRAM)


def test_where_the_kernel_takes_nearly_all_any_may_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "ip_local_port_range"
    monkeypatch.setattr(ports, "_KERNEL_RANGE", said)
    said.write_text("1024\t65535\n")
    assert ports._below_kernels() == 65_535
    said.write_text("49152\t65535\n")
    assert ports._below_kernels() == 49_151
    said.unlink()
    assert ports._below_kernels() == 32_767


def test_when_none_is_free_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_is_free", lambda *asked: False)
    with pytest.raises(RuntimeError, match="no 1 free ports in a row"):
        free_port()
