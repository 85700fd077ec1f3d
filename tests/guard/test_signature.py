"""Signed webhooks: the senders' own code signs, the gate verifies, and nothing else passes."""

from __future__ import annotations

import base64
import datetime
import hmac
import json
from collections.abc import Callable, Sequence
from hashlib import sha1, sha256
from pathlib import Path

import pytest
import stripe
from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook

from underpass.guard.errors import SecretUnreadable
from underpass.guard.gates import (
    Deny,
    Gate,
    Later,
    Materials,
    NeedsBody,
    Outcome,
    Pass,
    Peer,
    forge,
)
from underpass.guard.replays import Replays
from underpass.guard.signature import THREAD_BYTES
from underpass.http.messages import Headers, RequestHead
from underpass.model.errors import UnderpassError
from underpass.model.gates import parse_gate

NOW = 1_760_000_000
BODY = b'{"event":"paid","n":1,\r\n "text":"\xc3\xa9"}'
RAW = b"0123456789abcdef0123456789abcdef"
SECRETS = {
    "STANDARD_WEBHOOKS_SECRET": "whsec_" + base64.b64encode(RAW).decode(),
    "GITHUB_WEBHOOK_SECRET": "It's a Secret to Everybody",
    "STRIPE_WEBHOOK_SECRET": "whsec_5t1pe",
    "SLACK_SIGNING_SECRET": "8f742231b10e8888abcd99yyyzzz85a5",
    "OLD": "an older secret",
}
REFUSED = Deny(403, "gate-refused")


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def gate(text: str, clock: Callable[[], float], **variables: str) -> Gate:
    materials = Materials(environment={**SECRETS, **variables}, wall_clock=clock)
    return forge([parse_gate(text)], materials=materials).gates[text]


def show(made: Gate, headers: Headers, body: bytes = BODY) -> Outcome:
    outcome = made.judge(RequestHead(b"POST", b"/hooks", b"h", headers, len(body)), Peer(""))
    return outcome.decide(body) if isinstance(outcome, NeedsBody) else outcome


def fields(**values: str) -> Headers:
    return [(key.replace("_", "-").encode(), value.encode()) for key, value in values.items()]


# The senders' own code.


def standard(body: bytes = BODY, at: float = NOW, message: str = "msg_1") -> Headers:
    signer = Webhook(SECRETS["STANDARD_WEBHOOKS_SECRET"])
    when = datetime.datetime.fromtimestamp(at, datetime.UTC)
    signature = signer.sign(message, when, body.decode())
    return fields(Webhook_Id=message, Webhook_Timestamp=str(int(at)), Webhook_Signature=signature)


def github(body: bytes = BODY, secret: str = SECRETS["GITHUB_WEBHOOK_SECRET"]) -> Headers:
    # No package signs as GitHub does; its documented example is a test of its own below.
    mac = hmac.new(secret.encode(), body, sha256).hexdigest()
    return fields(X_Hub_Signature_256=f"sha256={mac}", X_GitHub_Delivery="d-1")


def stripes(body: bytes = BODY, at: float = NOW, secret: str = "whsec_5t1pe") -> Headers:
    mac = stripe.WebhookSignature._compute_signature(f"{int(at)}.{body.decode()}", secret)
    return fields(Stripe_Signature=f"t={int(at)},v0={'0' * 64},v1={mac}")


def slack(body: bytes = BODY, at: float = NOW) -> Headers:
    signer = SignatureVerifier(SECRETS["SLACK_SIGNING_SECRET"])
    signature = signer.generate_signature(timestamp=str(int(at)), body=body)
    assert signature is not None
    return fields(X_Slack_Request_Timestamp=str(int(at)), X_Slack_Signature=signature)


SENDERS: dict[str, Callable[..., Headers]] = {
    "standard": standard,
    "github": github,
    "stripe": stripes,
    "slack": slack,
}
TIMED = [each for each in SENDERS if each != "github"]
ALL = pytest.mark.parametrize("scheme", SENDERS)


@ALL
def test_what_the_sender_has_signed_passes_and_keeps_its_fields(scheme: str, clock: Clock) -> None:
    outcome = show(gate(f"signature:{scheme}", clock), SENDERS[scheme]())
    assert outcome == Pass(identity=f"signature:{scheme}")


def test_the_senders_own_verifiers_agree_about_what_we_accept() -> None:
    now = datetime.datetime.now(datetime.UTC).timestamp()
    as_text = {key.decode().lower(): value.decode() for key, value in standard(at=now)}
    Webhook(SECRETS["STANDARD_WEBHOOKS_SECRET"]).verify(BODY, as_text)
    said = stripes(at=now)[0][1].decode()
    assert stripe.WebhookSignature.verify_header(BODY.decode(), said, "whsec_5t1pe", 300)
    words = {key.decode(): value.decode() for key, value in slack(at=now)}
    assert SignatureVerifier(SECRETS["SLACK_SIGNING_SECRET"]).is_valid_request(BODY, words)


def test_githubs_documented_example_passes(clock: Clock) -> None:
    said = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    headers = fields(X_Hub_Signature_256=said)
    assert isinstance(show(gate("signature:github", clock), headers, b"Hello, World!"), Pass)


def test_slacks_documented_example_passes() -> None:
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id="
        b"G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-"
        b"collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F3977008"
        b"85554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c4"
        b"47fce8b6703c"
    )
    headers = fields(
        X_Slack_Request_Timestamp="1531420618",
        X_Slack_Signature="v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    )
    assert isinstance(show(gate("signature:slack", lambda: 1531420618.0), headers, body), Pass)


def test_the_standards_documented_example_passes() -> None:
    headers = fields(
        Webhook_Id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        Webhook_Timestamp="1614265330",
        Webhook_Signature="v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    )
    made = gate(
        "signature:standard,env:DOC",
        lambda: 1614265330.0,
        DOC="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    )
    assert isinstance(show(made, headers, b'{"test": 2432232314}'), Pass)


@ALL
def test_a_signature_is_good_once(scheme: str, clock: Clock) -> None:
    made, headers = gate(f"signature:{scheme}", clock), SENDERS[scheme]()
    assert isinstance(show(made, headers), Pass)
    for _ in range(3):
        assert show(made, headers) == REFUSED
        clock.now += 90
    # Unsigned fields make no new delivery of an old one.
    assert show(made, [*headers, (b"X-GitHub-Delivery-2", b"d-2")]) == REFUSED


@pytest.mark.parametrize("scheme", TIMED)
def test_a_retry_that_is_signed_anew_passes(scheme: str, clock: Clock) -> None:
    made = gate(f"signature:{scheme}", clock)
    assert isinstance(show(made, SENDERS[scheme]()), Pass)
    clock.now += 5
    assert isinstance(show(made, SENDERS[scheme](at=clock.now)), Pass)


@pytest.mark.parametrize("scheme", TIMED)
@pytest.mark.parametrize(
    ("off", "passes"), [(-300, True), (-301, False), (300, True), (301, False), (-(10**9), False)]
)
def test_the_time_must_lie_within_five_minutes(
    scheme: str, off: int, passes: bool, clock: Clock
) -> None:
    outcome = show(gate(f"signature:{scheme}", clock), SENDERS[scheme](at=NOW + off))
    assert isinstance(outcome, Pass) is passes


@pytest.mark.parametrize("scheme", TIMED)
def test_a_body_that_comes_too_slowly_is_too_old_when_it_is_whole(
    scheme: str, clock: Clock
) -> None:
    made = gate(f"signature:{scheme}", clock)
    head = RequestHead(b"POST", b"/", b"h", SENDERS[scheme]())
    pending = made.judge(head, Peer(""))
    assert isinstance(pending, NeedsBody)
    clock.now += 301
    assert pending.decide(BODY) == REFUSED


@ALL
def test_no_replay_is_possible_at_the_very_end_of_the_window(scheme: str, clock: Clock) -> None:
    made = gate(f"signature:{scheme}", clock)
    sender = SENDERS[scheme]
    headers = sender() if scheme == "github" else sender(at=NOW + 300)
    assert isinstance(show(made, headers), Pass)
    clock.now += 600
    assert show(made, headers) == REFUSED


@ALL
def test_any_of_several_secrets_will_do_while_one_replaces_another(
    scheme: str, clock: Clock
) -> None:
    default = str(gate(f"signature:{scheme}", clock).text)
    variable = next(name for name in SECRETS if scheme.upper() in name)
    new = SECRETS["STANDARD_WEBHOOKS_SECRET"][:-6] + "AAAAA="
    made = gate(f"{default},env:NEW,env:{variable}", clock, NEW=new)
    assert isinstance(show(made, SENDERS[scheme]()), Pass)
    alone = gate(f"{default},env:NEW", clock, NEW=new)
    assert show(alone, SENDERS[scheme]()) == REFUSED


@ALL
@pytest.mark.parametrize(
    "body",
    [
        b"",
        BODY + b" ",
        BODY[:-1],
        BODY.replace(b"\r\n", b"\n"),
        BODY.replace(b"1", b"2"),
        b"\0" + BODY,
    ],
)
def test_another_body_does_not_pass(scheme: str, body: bytes, clock: Clock) -> None:
    assert show(gate(f"signature:{scheme}", clock), SENDERS[scheme](), body) == REFUSED


def changed(headers: Headers, name: bytes, change: Callable[[bytes], bytes]) -> Headers:
    assert any(key.lower() == name for key, _ in headers)
    return [(key, change(value) if key.lower() == name else value) for key, value in headers]


SIGNATURES = {
    "standard": b"webhook-signature",
    "github": b"x-hub-signature-256",
    "stripe": b"stripe-signature",
    "slack": b"x-slack-signature",
}
TAMPERED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda value: b"",
    "cut": lambda value: value[:-1],
    "longer": lambda value: value + b"0",
    "another letter": lambda value: value[:-2] + (b"11" if value[-2:] != b"11" else b"00"),
    "upper case": lambda value: value.upper(),
    "only the version": lambda value: value.partition(b"=")[0],
    "another version": lambda value: (
        value.replace(b"v1", b"v9").replace(b"v0", b"v9").replace(b"sha256", b"sha1")
    ),
    "in quotes": lambda value: b'"' + value + b'"',
    "a null byte": lambda value: value + b"\0",
    "many": lambda value: b",".join([b"v1=" + b"0" * 64] * 40) + b"," + value,
}


@ALL
@pytest.mark.parametrize("how", TAMPERED)
def test_a_signature_that_was_tampered_with_does_not_pass(
    scheme: str, how: str, clock: Clock
) -> None:
    headers = changed(SENDERS[scheme](), SIGNATURES[scheme], TAMPERED[how])
    assert show(gate(f"signature:{scheme}", clock), headers) == REFUSED


@ALL
def test_a_field_that_stands_there_twice_counts_for_nothing(scheme: str, clock: Clock) -> None:
    headers = SENDERS[scheme]()
    for name, _ in headers:
        if name == b"X-GitHub-Delivery":
            continue
        twice = [*headers, next(each for each in headers if each[0] == name)]
        assert show(gate(f"signature:{scheme}", clock), twice) == REFUSED


@ALL
def test_without_its_fields_no_body_is_asked_for(scheme: str, clock: Clock) -> None:
    made, headers = gate(f"signature:{scheme}", clock), SENDERS[scheme]()
    for name, _ in headers:
        if name == b"X-GitHub-Delivery":
            continue
        left = [each for each in headers if each[0] != name]
        renamed = [(b"X-" + key if key == name else key, value) for key, value in headers]
        underscored = [(key.replace(b"-", b"_"), value) for key, value in headers]
        for shown in (left, renamed, underscored, []):
            head = RequestHead(b"POST", b"/", b"h", shown, len(BODY))
            assert made.judge(head, Peer("127.0.0.1")) == REFUSED


@pytest.mark.parametrize("scheme", SENDERS)
@pytest.mark.parametrize("other", SENDERS)
def test_a_signature_by_one_scheme_is_none_by_another(
    scheme: str, other: str, clock: Clock
) -> None:
    if scheme != other:
        assert show(gate(f"signature:{scheme}", clock), SENDERS[other]()) == REFUSED


NO_TIMES = [
    b"0",
    b"-1",
    b"+1760000000",
    b"1760000000.0",
    b"1.76e9",
    b" 1760000000",
    b"01760000000",
    b"1760000000 ",
    "１７６００００００".encode(),
    b"1760000000,1760000000",
    b"0x68e78100",
    b"9" * 13,
]


@pytest.mark.parametrize("said", NO_TIMES)
def test_a_time_that_is_no_plain_number_is_no_time(said: bytes, clock: Clock) -> None:
    for scheme, name in (
        ("standard", b"webhook-timestamp"),
        ("slack", b"x-slack-request-timestamp"),
    ):
        headers = changed(SENDERS[scheme](), name, lambda _: said)
        assert show(gate(f"signature:{scheme}", clock), headers) == REFUSED
    mac = hmac.new(b"whsec_5t1pe", said + b"." + BODY, sha256).hexdigest().encode()
    header = [(b"Stripe-Signature", b"t=" + said + b",v1=" + mac)]
    assert show(gate("signature:stripe", clock), header) == REFUSED


def test_githubs_older_signature_is_none(clock: Clock) -> None:
    mac = hmac.new(SECRETS["GITHUB_WEBHOOK_SECRET"].encode(), BODY, sha1).hexdigest()
    assert show(gate("signature:github", clock), fields(X_Hub_Signature=f"sha1={mac}")) == REFUSED


def test_a_dot_in_a_standard_id_would_blur_the_borders_of_what_is_signed(clock: Clock) -> None:
    honest = standard(body=b"x", message=f"a.{NOW}")
    assert show(gate("signature:standard", clock), honest, b"x") == REFUSED


async def test_a_large_body_is_hashed_beside_the_loop(clock: Clock) -> None:
    body = b"x" * (THREAD_BYTES + 1)
    outcome = show(gate("signature:github", clock), github(body), body)
    assert not isinstance(outcome, (Pass, Deny, NeedsBody))
    assert await outcome.wait() == Pass(identity="signature:github")
    again = show(gate("signature:github", clock), github(b"other"), body)
    assert not isinstance(again, (Pass, Deny, NeedsBody))
    assert await again.wait() == REFUSED


def test_bodies_are_asked_for_within_limits(clock: Clock) -> None:
    limits = {}
    for scheme, sign in SENDERS.items():
        head = RequestHead(b"POST", b"/", b"h", sign())
        pending = gate(f"signature:{scheme}", clock).judge(head, Peer(""))
        assert isinstance(pending, NeedsBody)
        limits[scheme] = pending.limit
    mib = 1024 * 1024
    assert limits == {"standard": mib, "github": 25 * mib, "stripe": mib, "slack": mib}


def test_no_secret_shows(clock: Clock) -> None:
    made = gate("signature:github", clock)
    assert "Everybody" not in f"{made!r}{made.text}{vars(made)!r}".replace(repr(made._keys), "")  # type: ignore[attr-defined]


def test_a_secret_can_stand_in_a_file_of_ours_alone(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "hook"
    path.write_text(SECRETS["GITHUB_WEBHOOK_SECRET"] + "\n")
    path.chmod(0o600)
    made = gate(f"signature:github,file:{path}", clock)
    assert isinstance(show(made, github()), Pass)
    path.chmod(0o644)
    with pytest.raises(UnderpassError) as caught:
        gate(f"signature:github,file:{path}", clock)
    assert caught.value.code == "loose-mode"


def test_a_secret_that_is_not_there_is_named_by_its_variable(clock: Clock) -> None:
    with pytest.raises(UnderpassError) as caught:
        gate("signature:slack,env:NOWHERE", clock)
    assert caught.value.code == "secret-missing"
    assert "NOWHERE" in caught.value.message


@pytest.mark.parametrize("text", ["hunter2!", "whsec_????", "whsec_c2hvcnQ=", ""])
def test_a_standard_secret_must_be_one(text: str, clock: Clock) -> None:
    with pytest.raises(UnderpassError) as caught:
        gate("signature:standard", clock, STANDARD_WEBHOOKS_SECRET=text)
    assert caught.value.code in {"secret-malformed", "secret-missing"}
    assert not text or text not in json.dumps(caught.value.to_dict())


# What was seen before.


def test_replays_are_remembered_as_long_as_they_could_pass_and_no_longer() -> None:
    seen = Replays(10)
    assert seen.first_use(b"a", 0.0) is True
    assert seen.first_use(b"a", 9.0) is False
    assert seen.first_use(b"b", 10.0) is True
    assert len(seen) == 1
    assert seen.first_use(b"a", 10.0) is True


def test_a_full_memory_forgets_nothing_that_could_be_used_twice() -> None:
    seen = Replays(10, limit=2)
    assert [seen.first_use(each, 0.0) for each in (b"a", b"b", b"c", b"a")] == [
        True,
        True,
        None,
        False,
    ]
    forever = Replays(None, limit=2)
    assert [forever.first_use(each, 0.0) for each in (b"a", b"b", b"c", b"a")] == [True] * 4
    assert len(forever) == 2


def test_when_replays_cannot_be_told_apart_nobody_passes(clock: Clock) -> None:
    made = gate("signature:slack", clock)
    made._timed = Replays(600, limit=0)  # type: ignore[attr-defined]
    assert show(made, slack()) == Deny(503, "gate-away")


def test_what_two_keys_have_signed_is_good_once_by_either(clock: Clock) -> None:
    made = gate("signature:stripe,env:STRIPE_WEBHOOK_SECRET,env:OLD", clock)
    by_new, by_old = stripes()[0][1], stripes(secret=SECRETS["OLD"])[0][1]
    both = by_new + by_old[by_old.index(b",v1=") :]
    assert isinstance(show(made, [(b"Stripe-Signature", both)]), Pass)
    for said in (both, by_old, by_new):
        assert show(made, [(b"Stripe-Signature", said)]) == REFUSED


@ALL
def test_no_signature_opens_a_change_of_protocols(scheme: str, clock: Clock) -> None:
    signed = SENDERS[scheme](body=b"")
    made = gate(f"signature:{scheme}", clock)
    head = RequestHead(b"GET", b"/hooks", b"h", signed, 0, b"websocket")
    assert made.judge(head, Peer("")) == REFUSED
    assert isinstance(show(made, signed, b""), Pass), "the control: without it, it passes"


# What outlives the process.


class Remembering:
    """A ``ReplayMemory`` that fails when it is told to."""

    def __init__(self) -> None:
        self.kept: dict[bytes, float | None] = {}
        self.fails = False

    async def first_use(self, proofs: Sequence[bytes], until: float | None) -> bool:
        if self.fails:
            raise SecretUnreadable(path="/a/disk", why="it is full")
        is_first = not self.kept.keys() & set(proofs)
        self.kept.update(dict.fromkeys(proofs, until))
        return is_first


async def shown_to(made: Gate, headers: Headers, body: bytes = BODY) -> Outcome:
    outcome = show(made, headers, body)
    return await outcome.wait() if isinstance(outcome, Later) else outcome


def again(text: str, clock: Clock, memory: Remembering, **variables: str) -> Gate:
    """The gate as it is after a restart."""
    environment = {**SECRETS, **variables}
    materials = Materials(environment=environment, wall_clock=clock, replays=memory)
    return forge([parse_gate(text)], materials=materials).gates[text]


@ALL
async def test_a_signature_is_good_once_whatever_is_restarted(scheme: str, clock: Clock) -> None:
    memory, headers, text = Remembering(), SENDERS[scheme](), f"signature:{scheme}"
    assert isinstance(await shown_to(again(text, clock, memory), headers), Pass)
    for _ in range(2):
        assert await shown_to(again(text, clock, memory), headers) == REFUSED
    assert isinstance(await shown_to(gate(text, clock), headers), Pass), "the control: no memory"
    (until,) = memory.kept.values()
    assert until == (None if scheme == "github" else NOW + 301)


async def test_a_replay_is_known_when_the_keys_have_changed_meanwhile(clock: Clock) -> None:
    memory = Remembering()
    headers = github(secret=SECRETS["OLD"])
    both = "signature:github,env:GITHUB_WEBHOOK_SECRET,env:OLD"
    for first, then in (
        ("signature:github,env:OLD", both),
        (both, "signature:github,env:OLD"),
        (both, "signature:github,env:OLD,env:GITHUB_WEBHOOK_SECRET"),
    ):
        memory.kept.clear()
        assert isinstance(await shown_to(again(first, clock, memory), headers), Pass)
        assert await shown_to(again(then, clock, memory), headers) == REFUSED


async def test_nothing_passes_that_cannot_be_remembered_and_it_may_come_again(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    memory = Remembering()
    made = again("signature:github", clock, memory)
    memory.fails = True
    assert await shown_to(made, github()) == Deny(503, "gate-away")
    assert "/a/disk" in caplog.text
    memory.fails = False
    assert isinstance(await shown_to(made, github()), Pass)
    assert await shown_to(made, github()) == REFUSED


async def test_a_large_body_is_remembered_too(clock: Clock) -> None:
    memory, body = Remembering(), b"x" * (THREAD_BYTES + 1)
    for expected in (True, False):
        outcome = await shown_to(again("signature:github", clock, memory), github(body), body)
        assert isinstance(outcome, Pass) is expected


async def test_what_is_wrong_is_never_remembered(clock: Clock) -> None:
    memory = Remembering()
    made = again("signature:github", clock, memory)
    assert await shown_to(made, github(b"other")) == REFUSED
    assert not memory.kept
