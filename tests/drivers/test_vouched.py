"""Whom the gatehouse believes about a visitor's address, and whom not."""

from __future__ import annotations

from typing import Any

import pytest

from underpass.drivers.plans import Vouching
from underpass.drivers.vouched import VouchedCarrier, read_address
from underpass.gatehouse.ports import Peer
from underpass.guard.secrets import Secret
from underpass.http.messages import RequestHead


class Recorder:
    """A carrier that keeps what it is given."""

    def __init__(self) -> None:
        self.given: list[tuple[RequestHead, Peer]] = []

    def open_http(self, visitor: Any, head: RequestHead, peer: Peer) -> Any:
        self.given.append((head, peer))


def told(
    vouching: Vouching | None, *headers: tuple[bytes, bytes], over_unix: bool
) -> tuple[str, list[tuple[bytes, bytes]]]:
    recorder: Any = Recorder()
    carrier = VouchedCarrier(recorder, vouching, over_unix=over_unix, secure=True)
    head = RequestHead(b"GET", b"/", b"x", list(headers))
    carrier.open_http(None, head, Peer("6.6.6.6"))  # type: ignore[arg-type]
    seen, peer = recorder.given[0]
    assert peer.secure
    return peer.address, list(seen.headers)


ADDRESS = (b"CF-Connecting-IP", b"203.0.113.9")
PLAIN = Vouching(b"cf-connecting-ip")
SECRET = Vouching(b"x-real", secret_header=b"x-engine-secret", secret=Secret("s" * 20))


def test_nobody_is_believed_whom_the_plan_does_not_name() -> None:
    assert told(None, ADDRESS, over_unix=True)[0] == ""


def test_over_a_unix_socket_the_engine_is_believed() -> None:
    assert told(PLAIN, ADDRESS, over_unix=True)[0] == "203.0.113.9"


def test_on_a_port_a_header_alone_cannot_even_be_planned() -> None:
    with pytest.raises(ValueError, match="with a secret header only"):
        told(PLAIN, ADDRESS, over_unix=False)


@pytest.mark.parametrize(
    ("secrets", "address"),
    [
        ([b"s" * 20], "203.0.113.9"),
        ([], ""),
        ([b"wrong"], ""),
        ([b"wrong", b"s" * 20], ""),
        ([b"s" * 20, b"s" * 20], ""),
    ],
)
def test_on_a_port_the_secret_decides_and_goes_no_further(
    secrets: list[bytes], address: str
) -> None:
    shown = [(b"X-Engine-Secret", value) for value in secrets]
    found, headers = told(SECRET, (b"X-Real", b"203.0.113.9"), *shown, over_unix=False)
    assert found == address
    assert [name for name, _ in headers] == [b"X-Real"]


@pytest.mark.parametrize(
    ("values", "last", "address"),
    [
        ([b"203.0.113.9"], False, "203.0.113.9"),
        ([b" 2001:DB8::1 "], False, "2001:db8::1"),
        ([b"9.9.9.9, 203.0.113.9"], False, ""),
        ([b"9.9.9.9, 203.0.113.9"], True, "203.0.113.9"),
        ([b"9.9.9.9", b"203.0.113.9"], True, "203.0.113.9"),
        ([b"9.9.9.9", b"203.0.113.9"], False, ""),
        ([], True, ""),
        ([b"unknown"], False, ""),
        ([b"203.0.113.9:80"], False, ""),
        ([b"2001:db8::1%eth0"], False, ""),
        ([b'fe80::1%";proto=https;by="x'], True, ""),
        ([b"\xff"], True, ""),
    ],
)
def test_only_one_address_is_an_address(values: list[bytes], last: bool, address: str) -> None:
    assert read_address(values, takes_last=last) == address
