"""What a proof can find wrong: one stable code each, the layer it blames, and what it means.

These are the codes that stand in a verdict's layers. A code that arrives in ``Underpass-Error``
keeps its own name; ``blame`` says which layer it speaks of.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from underpass.model.verdict import Layer

NAME_NOT_FOUND: Final = "name-not-found"
NAME_LOOKUP_FAILED: Final = "name-lookup-failed"
CERTIFICATE_EXPIRED: Final = "certificate-expired"
CERTIFICATE_NOT_YET_VALID: Final = "certificate-not-yet-valid"
CERTIFICATE_FOR_ANOTHER_NAME: Final = "certificate-for-another-name"
CERTIFICATE_UNTRUSTED: Final = "certificate-untrusted"
CERTIFICATE_NOT_PINNED: Final = "certificate-not-pinned"
TLS_FAILED: Final = "tls-failed"
CONNECTION_REFUSED: Final = "connection-refused"
RELAY_UNREACHABLE: Final = "relay-unreachable"
CONNECTION_TIMED_OUT: Final = "connection-timed-out"
PROXY_REFUSED: Final = "proxy-refused"
NOT_ADMITTED: Final = "prober-not-admitted"
ANSWER_MALFORMED: Final = "answer-malformed"
FOREIGN_ANSWER: Final = "foreign-answer"
NO_ANSWER: Final = "no-answer"
ANSWER_CUT: Final = "answer-cut"
LINK_DIALLING: Final = "link-dialling"
LINK_LOST: Final = "link-lost"
LINK_ENDED: Final = "link-ended"
LINK_UNPROVEN: Final = "link-unproven"
PROOF_FORGED: Final = "proof-forged"
PROOF_NOT_TAKEN: Final = "proof-not-taken"
PROOF_STALE: Final = "proof-stale"
GATE_OPEN: Final = "gate-open"
GATE_ADMITS_EVERYBODY: Final = "gate-admits-everybody"
GATE_UNPROVEN: Final = "gate-unproven"

FINDINGS: Final = MappingProxyType(
    {
        NAME_NOT_FOUND: (Layer.NAME, "the public name does not resolve"),
        NAME_LOOKUP_FAILED: (Layer.NAME, "the public name could not be looked up"),
        CERTIFICATE_EXPIRED: (Layer.TLS, "the public certificate has expired"),
        CERTIFICATE_NOT_YET_VALID: (
            Layer.TLS,
            "the public certificate is not valid yet, or this machine's clock is behind",
        ),
        CERTIFICATE_FOR_ANOTHER_NAME: (
            Layer.TLS,
            "the public certificate names another host",
        ),
        CERTIFICATE_UNTRUSTED: (Layer.TLS, "the public certificate is signed by nobody trusted"),
        CERTIFICATE_NOT_PINNED: (Layer.TLS, "the public certificate is not the pinned one"),
        TLS_FAILED: (Layer.TLS, "the public door did not complete a TLS handshake"),
        CONNECTION_REFUSED: (Layer.RELAY, "the public door refuses connections"),
        RELAY_UNREACHABLE: (Layer.RELAY, "the public door cannot be reached"),
        CONNECTION_TIMED_OUT: (Layer.RELAY, "the public door did not take a connection in time"),
        PROXY_REFUSED: (Layer.RELAY, "the proxy named by HTTPS_PROXY does not lead to the relay"),
        NOT_ADMITTED: (
            Layer.RELAY,
            "the relay's address rule turns this machine away, so nothing can be proved from here",
        ),
        ANSWER_MALFORMED: (Layer.RELAY, "the public door answered something that is not HTTP"),
        FOREIGN_ANSWER: (
            Layer.RELAY,
            "an answer came that is not the gatehouse's: another server stands at the door",
        ),
        NO_ANSWER: (Layer.LINK, "the public door took the request, but no answer came in time"),
        ANSWER_CUT: (Layer.LINK, "the connection was cut before the answer was complete"),
        LINK_DIALLING: (Layer.LINK, "the connector has not attached a link yet"),
        LINK_LOST: (Layer.LINK, "the connector has lost its link and dials again"),
        LINK_ENDED: (Layer.LINK, "the connector's link has ended for good"),
        LINK_UNPROVEN: (Layer.LINK, "the link is back, but nothing has gone through it yet"),
        PROOF_FORGED: (Layer.GATEHOUSE, "an answer came that the gatehouse did not sign"),
        PROOF_NOT_TAKEN: (
            Layer.GATEHOUSE,
            "the gatehouse treated the proof as a stranger's request",
        ),
        PROOF_STALE: (Layer.RELAY, "nothing has proved this lately"),
        GATE_OPEN: (Layer.GATE, "a request without credentials was not refused"),
        GATE_ADMITS_EVERYBODY: (Layer.GATE, "the ip gate's networks cover every address"),
        GATE_UNPROVEN: (Layer.GATE, "no answer told whether strangers are refused"),
    }
)
"""Code → the layer usually blamed, and the sentence for people."""

_BLAME: Final = MappingProxyType(
    {
        "connector-away": Layer.LINK,
        "link-lost": Layer.LINK,
        "lane-lost": Layer.LINK,
        "token-refused": Layer.GATE,
        "relay-certificate-wrong": Layer.TLS,
        "tls-intercepted": Layer.TLS,
        "origin-away": Layer.ORIGIN,
        "origin-refused": Layer.ORIGIN,
        "origin-speaks-tls": Layer.ORIGIN,
        "origin-malformed": Layer.ORIGIN,
        "origin-incomplete": Layer.ORIGIN,
    }
)

GATE_PREFIX: Final = "gate-"
"""How the codes begin with which the gatehouse refuses a visitor."""

EDGE_REFUSAL: Final = "gate-refused"
"""The relay's own word when its coarse address rule refuses a visitor before the gatehouse."""


def blame(code: str) -> Layer:
    """The layer that an ``Underpass-Error`` code speaks of.

    What is not known to come from deeper inside was said by the relay: that it knows no such
    tunnel, is draining or over a limit.
    """
    if code.startswith(GATE_PREFIX):
        return Layer.GATE
    return _BLAME.get(code, Layer.RELAY)


def is_known(code: str) -> bool:
    """Whether ``code`` is one that says which layer spoke."""
    return code in _BLAME or code.startswith(GATE_PREFIX)


def explain(code: str) -> str:
    """The sentence for a finding; empty for a code that is not ours to explain."""
    return FINDINGS[code][1] if code in FINDINGS else ""


def findings_table() -> str:
    """Every finding as a row of Markdown, by layer from the outside to the inside."""
    order = list(Layer)
    rows = sorted(FINDINGS.items(), key=lambda row: (order.index(row[1][0]), row[0]))
    lines = [f"| {layer} | `{code}` | {words} |\n" for code, (layer, words) in rows]
    return "| layer | code | what it means |\n|---|---|---|\n" + "".join(lines)
