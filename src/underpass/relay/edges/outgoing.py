"""The request head as it leaves for the gatehouse: what the visitor claims is off, what we know is
on. Nothing is ever built from the target."""

from __future__ import annotations

from underpass.http.fields import stamp, strip_claims
from underpass.http.messages import RequestHead, encode_head
from underpass.relay.edges.arrival import Arrival


def outgoing_head(head: RequestHead, arrival: Arrival) -> bytes:
    """The encoded head."""
    secure = arrival.server_name is not None
    headers = strip_claims(head.headers)
    headers += stamp(arrival.peer[0], secure=secure, host=head.host)
    return encode_head(
        RequestHead(
            head.method,
            head.target,
            head.host,
            headers,
            head.body,
            head.upgrade,
            head.expect_continue,
            head.http10,
            head.te_trailers,
        )
    )
