"""Believing an engine about its visitors, as far as its plan allows.

Stands between the door of a foreign engine and the gatehouse. A field with the visitor's address is
believed only as the plan's ``Vouching`` says: over a Unix socket, or beside a header that holds the
secret which the plan gave to the engine. The secret never goes further than here.
"""

from __future__ import annotations

import hmac
import ipaddress

import msgspec

from underpass.drivers.plans import Vouching
from underpass.gatehouse.ports import Carrier, Exchange, Peer, Visitor
from underpass.http.messages import RequestHead


class VouchedCarrier:
    """A ``Carrier`` that tells the gatehouse who calls, where it may be believed."""

    def __init__(
        self, carrier: Carrier, vouching: Vouching | None, *, over_unix: bool, secure: bool
    ) -> None:
        if vouching is not None and not over_unix and vouching.secret is None:
            raise ValueError("on a loopback port an engine vouches with a secret header only")
        self._carrier = carrier
        self._vouching = vouching
        self._over_unix = over_unix
        self._secure = secure

    def open_http(self, visitor: Visitor, head: RequestHead, peer: Peer) -> Exchange:
        """See ``Carrier``."""
        address, head = self._judge(head)
        return self._carrier.open_http(visitor, head, Peer(address, secure=self._secure))

    def open_bytes(self, visitor: Visitor, peer: Peer) -> Exchange:
        """See ``Carrier``: a byte stream says nothing of its visitor."""
        return self._carrier.open_bytes(visitor, Peer("", secure=self._secure))

    def open_reach(self, visitor: Visitor, peer: Peer, token: str) -> Exchange:
        """See ``Carrier``."""
        return self._carrier.open_reach(visitor, peer, token)

    def open_tls(self, visitor: Visitor, peer: Peer) -> Exchange:
        """See ``Carrier``."""
        return self._carrier.open_tls(visitor, Peer("", secure=True))

    def _judge(self, head: RequestHead) -> tuple[str, RequestHead]:
        vouching = self._vouching
        if vouching is None:
            return "", head
        told: list[bytes] = []
        shown: list[bytes] = []
        kept = []
        for name, value in head.headers:
            lower = name.lower()
            if lower == vouching.header:
                told.append(value)
            if vouching.secret_header and lower == vouching.secret_header:
                shown.append(value)
            else:
                kept.append((name, value))
        if shown:
            head = msgspec.structs.replace(head, headers=kept)
        if not self._is_believed(shown):
            return "", head
        return read_address(told, takes_last=vouching.takes_last), head

    def _is_believed(self, shown: list[bytes]) -> bool:
        assert self._vouching is not None
        if self._vouching.secret is None:
            return self._over_unix
        wanted = self._vouching.secret.reveal().encode()
        return len(shown) == 1 and hmac.compare_digest(shown[0], wanted)


def read_address(values: list[bytes], *, takes_last: bool) -> str:
    """The one address that a field's values tell; "" when they do not tell exactly one. Pure."""
    entries = [entry.strip() for value in values for entry in value.split(b",")]
    if not entries or (len(entries) > 1 and not takes_last):
        return ""
    if b"%" in entries[-1]:
        return ""  # a scope may hold anything, and no edge has one to tell
    try:
        return str(ipaddress.ip_address(entries[-1].decode("ascii")))
    except ValueError:
        return ""
