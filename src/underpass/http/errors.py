"""What the writers refuse: structured messages that cannot be written as one unambiguous message.

An edge or an origin that sends such a message is broken or hostile; whoever catches these breaks
the exchange off.
"""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.errors import PeerFault


@dataclass(eq=False)
class HeadInvalid(PeerFault):
    """A structured head holds what no head may hold."""

    reason: str
    """What is wrong, without a byte of the head."""

    code = "head-invalid"
    sentence = "cannot write the message head: {reason}"


@dataclass(eq=False)
class BodyLengthWrong(PeerFault):
    """A body has more or fewer bytes than its head said."""

    expected: int
    seen: int

    code = "body-length-wrong"
    sentence = "cannot pass the body on: {seen} bytes where the head said {expected}"
