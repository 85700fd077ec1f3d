"""The gates of ours, as ways offer them. They stand in the gatehouse, whichever engine carries.

Which engine can support which is decided by its driver when a tunnel is planned; what is offered
here is held against the drivers by a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from underpass.decide.need import Auth, Traffic, Visitor
from underpass.decide.way import HEADER_SENDERS, GateOffer

WEB: Final = frozenset({Traffic.HTTP, Traffic.MCP})
TCP: Final = frozenset({Traffic.TCP})
PEOPLE: Final = frozenset({Visitor.BROWSER})
MCP: Final = frozenset({Visitor.HOSTED_MCP, Visitor.LOCAL_MCP})

CERTIFICATE_FILES: Final = ("--tls-cert", "cert.pem", "--tls-key", "key.pem")

OPEN: Final = GateOffer(Auth.NONE, "--public, for at most 1 h", words=("--public",))
TOKEN: Final = GateOffer(
    Auth.TOKEN,
    "--gate bearer, a fresh 256-bit token",
    HEADER_SENDERS,
    ("--gate", "bearer"),
    WEB,
)
ADDRESSES: Final = GateOffer(
    Auth.IP, "--gate ip:CIDR", words=("--gate", "ip:CIDR"), traffic=frozenset({*WEB, *TCP})
)
_SIGNATURE: Final = GateOffer(
    Auth.SIGNATURE,
    "--gate signature:SCHEME (github, stripe, slack or standard), with its secret in a variable",
    frozenset({Visitor.WEBHOOK, Visitor.PROGRAM, Visitor.OWN_MACHINE}),
    ("--gate", "signature:SCHEME"),
    WEB,
)
_BASIC: Final = GateOffer(
    Auth.BASIC,
    "--gate basic, a fresh password",
    HEADER_SENDERS | PEOPLE,
    ("--gate", "basic"),
    WEB,
)
_LINK: Final = GateOffer(
    Auth.LINK, "--gate link: the address is the secret", words=("--gate", "link"), traffic=WEB
)
_JWT: Final = GateOffer(
    Auth.JWT,
    "--gate jwt:ISSUER,aud=AUDIENCE: tokens that your issuer signed",
    HEADER_SENDERS,
    ("--gate", "jwt:https://ISSUER,aud=AUDIENCE"),
    WEB,
)
_CERTIFICATE: Final = GateOffer(
    Auth.CERTIFICATE,
    "--gate mtls with --tls passthrough: visitors' TLS ends here, and shows their certificate",
    HEADER_SENDERS | PEOPLE,
    ("--tls", "passthrough", *CERTIFICATE_FILES, "--gate", "mtls:file:/PATH/ca.pem"),
    WEB,
)
_WALKS_OAUTH: Final = MCP | {Visitor.PROGRAM, Visitor.OWN_MACHINE}

OAuth = Literal["lasting", "changing", "no"]


def ours(
    *, addresses: bool = False, oauth: OAuth = "no", certificates: bool = False
) -> tuple[GateOffer, ...]:
    """Our gates for HTTP, in the order in which they are proposed.

    ``addresses``: the engine tells where visitors come from. ``oauth``: whether its public name is
    https and ``lasting``, as clients that registered need it. ``certificates``: visitors' TLS can
    end here.
    """

    def offered() -> Iterator[GateOffer]:
        yield TOKEN
        if oauth != "no":
            changing = ("--changing-url",) if oauth == "changing" else ()
            how = "--gate oauth: MCP clients sign in, and `underpass approve` lets them in"
            if changing:
                how += "; with another address all of it is void"
            yield GateOffer(Auth.SSO, how, _WALKS_OAUTH, ("--gate", "oauth", *changing), WEB)
        yield _SIGNATURE
        yield _BASIC
        yield _LINK
        yield _JWT
        if certificates:
            yield _CERTIFICATE
        if addresses:
            yield GateOffer(Auth.IP, ADDRESSES.how, words=ADDRESSES.words, traffic=WEB)

    return tuple(offered())
