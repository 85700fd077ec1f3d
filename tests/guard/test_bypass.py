"""The attacker at each gate. Every attempt is refused; beside each list stands a control that
passes, so that a gate that refuses everybody fails here too."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable

import pytest

from underpass.guard.gates import Deny, Outcome, Pass, Peer, forge
from underpass.guard.secrets import Secret
from underpass.http.messages import Headers, RequestHead
from underpass.model.gates import parse_gate

TOKEN = "up_" + "Ab1-" * 10 + "xyz"
T = TOKEN.encode()
OTHER = b"up_" + b"z" * 43
ALLOWED = "203.0.113.7"


def judge(gate: str, headers: Headers, target: bytes = b"/", address: str = "") -> Outcome:
    spec = parse_gate(gate)
    guard = forge([spec], secrets={spec.kind: Secret(TOKEN)}).guard
    head = RequestHead(b"GET", target, b"tools.example.com", headers)
    return guard.judge_http(head, Peer(address))


def field(name: bytes, value: bytes) -> Headers:
    return [(name, value)]


BEARER: list[Headers] = [
    [],
    field(b"Authorization", b""),
    field(b"Authorization", b"Bearer"),
    field(b"Authorization", b"Bearer "),
    field(b"Authorization", b"Bearer " + OTHER),
    field(b"Authorization", T),
    field(b"Authorization", b"Bearer" + T),
    field(b"Authorization", b"Bearer\t" + T),
    field(b"Authorization", b"Bearer\xa0" + T),
    field(b"Authorization", b"Bearer: " + T),
    field(b"Authorization", b"Bearer=" + T),
    field(b"Authorization", b"Token " + T),
    field(b"Authorization", b"Basic " + b64encode(b"underpass:" + T)),
    field(b"Authorization", b"Bearer Bearer " + T),
    field(b"Authorization", b'Bearer "' + T + b'"'),
    field(b"Authorization", b"Bearer " + T + b" "),
    field(b"Authorization", b"Bearer " + T + b"\0"),
    field(b"Authorization", b"Bearer " + T + b","),
    field(b"Authorization", b"Bearer " + T + b"="),
    field(b"Authorization", b"Bearer " + T + b", Bearer " + OTHER),
    field(b"Authorization", b"Bearer " + OTHER + b", Bearer " + T),
    field(b"Authorization", b"Bearer " + T[:-1]),
    field(b"Authorization", b"Bearer " + T[1:]),
    field(b"Authorization", b"Bearer " + T + b"x"),
    field(b"Authorization", b"Bearer " + T.upper()),
    field(b"Authorization", b"Bearer " + T.lower()),
    field(b"Authorization", b"Bearer " + T.swapcase()),
    field(b"Authorization", b"Bearer " + T.replace(b"-", b"%2d")),
    field(b"Authorization", b"Bearer " + T.replace(b"-", b"_")),
    field(b"Authorization", b"Bearer " + b64encode(T)),
    field(b"Authorization", b"Bearer " + urlsafe_b64encode(T)),
    field(b"Authorization", b"Bearer " + T.hex().encode()),
    field(b"Authorization", b"Bearer " + T * 30),
    field(b"Authorization", b"Bearer " + b"A" * 60_000),
    field(b"Authorization", b"Bearer null"),
    field(b"Authorization", b"Bearer undefined"),
    field(b"Authorization", b"Bearer *"),
    [(b"Authorization", b"Bearer " + T), (b"Authorization", b"Bearer " + OTHER)],
    [(b"Authorization", b"Bearer " + OTHER), (b"Authorization", b"Bearer " + T)],
    [(b"Authorization", b"Bearer " + T), (b"authorization", b"Bearer " + T)],
    [(b"Underpass-Token", T), (b"underpass-token", OTHER)],
    [(b"Underpass-Token", OTHER), (b"Underpass-Token", T)],
    [(b"Underpass-Token", T), (b"Underpass-Token", T)],
    [
        (b"Underpass-Token", OTHER),
        (b"Underpass-Token", OTHER),
        (b"Authorization", b"Bearer " + T),
    ],
    field(b"Underpass-Token", b""),
    field(b"Underpass-Token", b"Bearer " + T),
    field(b"Underpass-Token", T[:-1]),
    field(b"Underpass-Token", T + b", " + T),
    field(b"Underpass_Token", T),
    field(b"Underpass-Token ", T),
    field(b" Underpass-Token", T),
    field(b"UnderpassToken", T),
    field(b"X-Underpass-Token", T),
    field(b"Authorization_", b"Bearer " + T),
    field(b"Authorization ", b"Bearer " + T),
    field(b"Authorizatio\xce\xbd", b"Bearer " + T),
    field(b"Proxy-Authorization", b"Bearer " + T),
    field(b"X-Authorization", b"Bearer " + T),
    field(b"X-Forwarded-Authorization", b"Bearer " + T),
    field(b"X-Original-Authorization", b"Bearer " + T),
    field(b"HTTP_AUTHORIZATION", b"Bearer " + T),
    field(b"X-Access-Token", T),
    field(b"Cookie", b"token=" + T),
    field(b"Cookie", b"Authorization=Bearer " + T),
    field(b"X-Forwarded-For", b"127.0.0.1"),
    field(b"X-Forwarded-User", b"admin"),
    field(b"X-Real-IP", b"127.0.0.1"),
    field(b"X-Original-URL", b"/public"),
    field(b"X-Rewrite-URL", b"/public"),
    field(b"X-HTTP-Method-Override", b"OPTIONS"),
    field(b"Underpass-Proof", b"v1.AAAA"),
    field(b"Underpass-Gate", b"passed"),
]
BEARER_TARGETS = [
    b"/?token=" + T,
    b"/?access_token=" + T,
    b"/" + T,
    b"/healthz",
    b"/.well-known/x",
    b"*",
    b"//" + T,
]

PASSWORD = TOKEN


def pair(credentials: bytes) -> bytes:
    return b"Basic " + b64encode(credentials)


GOOD_PAIR = pair(b"alice:" + T)
BASIC: list[Headers] = [
    [],
    field(b"Authorization", b"Basic"),
    field(b"Authorization", b"Basic "),
    field(b"Authorization", pair(b"alice:")),
    field(b"Authorization", pair(b":" + T)),
    field(b"Authorization", pair(b"alice" + T)),
    field(b"Authorization", pair(b"Alice:" + T)),
    field(b"Authorization", pair(b"alice :" + T)),
    field(b"Authorization", pair(b"alice:" + T + b"\n")),
    field(b"Authorization", pair(b"alice:" + T + b"\0")),
    field(b"Authorization", pair(b"alice\0:" + T)),
    field(b"Authorization", pair(b"alice:alice:" + T)),
    field(b"Authorization", pair(b"alice:" + T[:-1])),
    field(b"Authorization", pair(b"alice:" + T.upper())),
    field(b"Authorization", pair(T + b":alice")),
    field(b"Authorization", b"Basic alice:" + T),
    field(b"Authorization", GOOD_PAIR[:-1]),
    field(b"Authorization", GOOD_PAIR + b"="),
    field(b"Authorization", GOOD_PAIR + b"AAAA"),
    field(b"Authorization", GOOD_PAIR[:10] + b"\n" + GOOD_PAIR[10:]),
    field(b"Authorization", GOOD_PAIR[:10] + b" " + GOOD_PAIR[10:]),
    field(b"Authorization", GOOD_PAIR[:10] + b"!" + GOOD_PAIR[10:]),
    field(b"Authorization", b"Bearer " + GOOD_PAIR[6:]),
    field(b"Authorization", b"Bearer " + T),
    field(b"Authorization", b"Digest " + GOOD_PAIR[6:]),
    field(b"Underpass-Token", T),
    field(b"Proxy-Authorization", GOOD_PAIR),
    field(b"X-Forwarded-User", b"alice"),
    field(b"Remote_User", b"alice"),
    [(b"Authorization", GOOD_PAIR), (b"Authorization", b"Basic x")],
    [(b"Authorization", b"Basic x"), (b"AUTHORIZATION", GOOD_PAIR)],
    field(b"Authorization", b"Basic " + b"A" * 60_000),
]

IP: list[tuple[Headers, str]] = [
    *(
        (field(name, value), "198.51.100.9")
        for name in (
            b"X-Forwarded-For",
            b"X_Forwarded_For",
            b"X-Real-IP",
            b"X-Client-IP",
            b"X-Originating-IP",
            b"X-Remote-Addr",
            b"True-Client-IP",
            b"CF-Connecting-IP",
            b"Fastly-Client-IP",
            b"X-Cluster-Client-IP",
            b"Via",
        )
        for value in (ALLOWED.encode(), ALLOWED.encode() + b", 198.51.100.9")
    ),
    (field(b"Forwarded", b"for=" + ALLOWED.encode()), "198.51.100.9"),
    (field(b"Forwarded", b'for="[::ffff:203.0.113.7]"'), "198.51.100.9"),
    *(
        ([], address)
        for address in (
            "",
            " ",
            "unknown",
            "203.0.113.8",
            "203.0.113.07",
            "0203.0.0161.07",
            "0313.0.0161.7",
            "203.0.113.7 ",
            " 203.0.113.7",
            "203.0.113.7\n",
            "203.0.113.7\0",
            "203.0.113.7,198.51.100.9",
            "203.0.113.7/24",
            "203.0.113",
            "203.29063",
            "3405803783",
            "0xcb007107",
            "0xcb.0x0.0x71.0x7",
            "２０３.0.113.7",
            "203。0。113。7",
            "[203.0.113.7]",
            "203.0.113.7:80",
            "::203.0.113.7",
            "::cb00:7107",
            "64:ff9b::203.0.113.7",
            "2002:cb00:7107::",
            "::ffff:0:203.0.113.7",
            "::fffe:203.0.113.7",
            "::ffff:198.51.100.9",
            "fe80::cb00:7107",
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "::ffff:127.0.0.1",
            "localhost",
            "7.113.0.203",
        )
    ),
]

LINK: list[bytes] = [
    b"/",
    b"*",
    b"",
    T,
    b"//" + T,
    b"//" + T + b"/x",
    b"/./" + T + b"/",
    b"/x/../" + T + b"/",
    b"/../" + T,
    b"/%2e/" + T,
    b"/x/" + T,
    b"/%2f" + T,
    b"/%2F" + T + b"/",
    b"/" + T[:-1],
    b"/" + T[:-1] + b"/",
    b"/" + T[:10] + b"/",
    b"/" + T[:3],
    b"/up_/",
    b"/up_*/",
    b"/" + T + b"x",
    b"/" + T + b"x/",
    b"/x" + T,
    b"/" + T.upper() + b"/",
    b"/" + T.lower() + b"/",
    b"/" + T.replace(b"-", b"%2d") + b"/",
    b"/" + T.replace(b"-", b"%2D") + b"/",
    b"/%75" + T[1:] + b"/",
    b"/%2575" + T[1:] + b"/",
    b"/" + T + b"%2f",
    b"/" + T + b"%2fx",
    b"/" + T + b"%00/",
    b"/" + T + b"\0/",
    b"/" + T + b";a=b/",
    b"/" + T + b"#/",
    b"/" + T + b"\\x",
    b"\\" + T + b"/",
    b"/" + T + b" /",
    b"/" + T + b".",
    b"/" + T + b"./",
    b"/" + T + b"//",
    b"/" + T + b"//evil.example/",
    b"/" + T + b"///x",
    b"/?" + T,
    b"/?/" + T + b"/",
    b"/x?p=/" + T + b"/",
    b"?" + T,
    b"http://tools.example.com/" + T + b"/",
    b"/" + OTHER + b"/" + T + b"/",
    b"/\xef\xbc\x8f" + T,
]


def test_there_are_far_more_than_a_hundred_attempts() -> None:
    assert len(BEARER) + len(BEARER_TARGETS) + len(BASIC) + len(IP) + len(LINK) >= 200


@pytest.mark.parametrize("headers", BEARER, ids=range(len(BEARER)))
def test_nobody_gets_round_bearer(headers: Headers) -> None:
    outcome = judge("bearer", headers, address="127.0.0.1")
    assert isinstance(outcome, Deny)
    assert (outcome.status, outcome.code) == (401, "gate-unauthenticated")


@pytest.mark.parametrize("target", BEARER_TARGETS)
def test_no_target_gets_round_bearer(target: bytes) -> None:
    assert isinstance(judge("bearer", [], target), Deny)


@pytest.mark.parametrize("headers", BASIC, ids=range(len(BASIC)))
def test_nobody_gets_round_basic(headers: Headers) -> None:
    outcome = judge("basic:alice", headers, address="127.0.0.1")
    assert isinstance(outcome, Deny)
    assert (outcome.status, outcome.code) == (401, "gate-unauthenticated")


@pytest.mark.parametrize(("headers", "address"), IP, ids=range(len(IP)))
def test_nobody_gets_round_ip(headers: Headers, address: str) -> None:
    assert judge(f"ip:{ALLOWED}", headers, address=address) == Deny(403, "gate-refused")


@pytest.mark.parametrize("target", LINK, ids=range(len(LINK)))
def test_nobody_gets_round_link(target: bytes) -> None:
    assert judge("link", [], target) == Deny(403, "gate-refused")


@pytest.mark.parametrize(
    "control",
    [
        lambda: judge("bearer", field(b"AUTHORIZATION", b"bearer " + T)),
        lambda: judge("bearer", field(b"underpass-token", T)),
        lambda: judge("basic:alice", field(b"Authorization", GOOD_PAIR)),
        lambda: judge(f"ip:{ALLOWED}", [], address=ALLOWED),
        lambda: judge(f"ip:{ALLOWED}", [], address="::FFFF:CB00:7107"),
        lambda: judge("link", [], b"/" + T + b"/x"),
    ],
)
def test_who_has_the_credential_passes(control: Callable[[], Outcome]) -> None:
    assert isinstance(control(), Pass)


@pytest.mark.parametrize("headers", BEARER, ids=range(len(BEARER)))
def test_an_attempt_never_echoes_what_was_tried(headers: Headers) -> None:
    assert TOKEN not in repr(judge("bearer", headers))
