"""What may be chosen for tailscale, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from underpass.drivers.errors import EngineCannot, EngineOptionInvalid
from underpass.drivers.observations import Carrying
from underpass.drivers.plans import Detection, DoorAddress, DoorKind, Site
from underpass.drivers.tailscale.driver import TailscaleDriver
from underpass.drivers.tailscale.engine import PrivateServe
from underpass.drivers.tailscale.settings import TailscaleSettings
from underpass.model.errors import Misuse
from underpass.model.spec import parse_spec
from underpass.testing.hostile import HOSTILE

RUNNING = Detection(
    True,
    "/run/ts.sock",
    "1.102.3",
    facts={"host": "laptop.tail1.ts.net", "suffix": "tail1.ts.net", "unix": "all"},
)
PRIVATE = Detection(True, "/opt/tailscaled", "1.102.3", facts={"unix": "all"})
KEY = "tskey-auth-secret"


def site(detection: Detection = RUNNING, **options: str) -> Site:
    return Site(
        "tools",
        Path("/run/up"),
        options={key.replace("_", "-"): value for key, value in options.items()},
        environment={"TS_AUTHKEY": KEY, "PATH": "/bin", "SSL_CERT_FILE": "/ca.pem"},
        detection=detection,
        door=DoorAddress(unix=Path("/run/up/door.sock")),
    )


@pytest.mark.parametrize(
    "options",
    [
        {"share": "publish"},
        {"port": "0"},
        {"port": "65536"},
        {"port": "٣"},
        {"share": "funnel", "port": "80"},
        {"share": "funnel", "https": "no"},
        {"https": "maybe"},
        {"daemon": "none"},
        {"socket": "relative.sock"},
        {"socket": "/run/../etc"},
        {"door": "window"},
        {"unknown": "x"},
        {"hostname": "x"},
        {"daemon": "private", "socket": "/run/x.sock"},
        {"daemon": "private", "hostname": "-x"},
        {"daemon": "private", "hostname": "two.labels"},
        {"daemon": "private", "tags": "admin"},
        {"daemon": "private", "auth-key-env": "a b"},
        {"daemon": "private", "login-server": "ftp://x"},
        {"daemon": "private", "login-server": "http://far.example"},
        {"daemon": "private", "login-server": "https://user:word@far.example"},
        {"daemon": "private", "login-server": "https://far.example/path"},
        {"daemon": "private", "login-server": "https://far.example:port"},
        {"daemon": "private", "inbound": "open"},
        {"daemon": "private", "state": "here"},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(EngineOptionInvalid):
        TailscaleSettings.parse(options)


def test_an_option_of_the_other_daemon_says_where_it_belongs() -> None:
    with pytest.raises(EngineOptionInvalid, match="daemon=private"):
        TailscaleSettings.parse({"inbound": "policy"})


def test_a_running_daemon_gets_no_word_from_us_but_a_file() -> None:
    plan = TailscaleDriver().plan(parse_spec("3001"), site())
    assert plan.argv[-3:] == (
        *("-m", "underpass.drivers.tailscale.child"),
        "/run/up/tailscale.json",
    )
    assert plan.url == "http://laptop.tail1.ts.net"
    assert (plan.door, plan.secure) == (DoorKind.UNIX, False)
    assert KEY not in repr(plan) + str(plan.environment) + str(plan.argv)
    assert b"unix:/run/up/door.sock" in plan.files[0].content
    assert "same node" in " ".join(plan.limits)


def test_a_private_daemon_gets_its_key_neither_by_words_nor_by_variables() -> None:
    plan = TailscaleDriver().plan(parse_spec("3001"), site(PRIVATE, daemon="private"))
    assert plan.argv == (
        "/opt/tailscaled",
        "--tun=userspace-networking",
        "--socket=/run/up/node.sock",
        "--statedir=/run/up/node",
        "--port=0",
        "--no-logs-no-support",
    )
    assert KEY not in str(plan.argv) + str(plan.environment) + repr(plan)
    assert plan.files == ()
    assert plan.environment["SSL_CERT_FILE"] == "/ca.pem"
    assert [secret.reveal() for secret in plan.secrets] == [KEY]


def test_a_funnel_is_https_on_a_port_that_may_have_one() -> None:
    plan = TailscaleDriver().plan(parse_spec("3001"), site(share="funnel", port="8443"))
    assert plan.url == "https://laptop.tail1.ts.net:8443"
    assert plan.secure
    assert "logs of certificates" in " ".join(plan.limits)


def test_a_funnel_brings_no_bytes() -> None:
    spec = parse_spec("tcp://127.0.0.1:5432 --public --for 30m")
    with pytest.raises(EngineCannot, match="TLS"):
        TailscaleDriver().plan(spec, site(share="funnel"))


def test_https_is_not_for_bytes() -> None:
    spec = parse_spec("tcp://127.0.0.1:5432 --public --for 30m")
    with pytest.raises(EngineCannot, match="it is for HTTP"):
        TailscaleDriver().plan(spec, site(https="yes"))


def test_what_a_private_daemon_logs_is_never_taken_for_a_word_of_ours() -> None:
    engine = PrivateServe(parse_spec("3001"), site(PRIVATE), TailscaleSettings(is_private=True))
    line = '{"carrying": {"url": "http://evil.example", "port": 0}}'
    assert TailscaleDriver().read(line) == Carrying("http://evil.example")
    assert engine.kept_by.read(line) is None


def test_a_tcp_tunnel_has_its_origins_port() -> None:
    spec = parse_spec("tcp://127.0.0.1:5432 --public --for 30m")
    assert TailscaleDriver().plan(spec, site()).url == "tcp://laptop.tail1.ts.net:5432"


def test_addresses_are_believed_over_a_unix_socket_and_not_over_a_port() -> None:
    spec = parse_spec("3001 --gate ip:100.64.0.0/10")
    plan = TailscaleDriver().plan(spec, site())
    assert plan.vouching is not None
    assert (plan.vouching.header, plan.vouching.secret) == (b"x-forwarded-for", None)
    with pytest.raises(EngineCannot, match="ip gate"):
        TailscaleDriver().plan(spec, site(door="port"))
    open_plan = TailscaleDriver().plan(parse_spec("3001"), site(door="port"))
    assert (open_plan.door, open_plan.vouching) == (DoorKind.PORT, None)


def test_a_daemon_whose_serve_takes_sockets_for_http_alone_gets_a_port_for_bytes() -> None:
    older = Detection(True, "/s", "1.96.0", facts={"host": "n.t", "unix": "http"})
    bytes_ = parse_spec("tcp://127.0.0.1:5432 --public --for 30m")
    assert TailscaleDriver().plan(parse_spec("3001"), site(older)).door is DoorKind.UNIX
    assert TailscaleDriver().plan(bytes_, site(older)).door is DoorKind.PORT


OPTIONS = (
    *("share", "port", "https", "daemon", "socket", "door", "witness", "auth-key-file"),
    *("auth-key-env", "login-server", "hostname", "tags", "state", "inbound"),
)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("daemon", ["running", "private"])
def test_hostile_text_is_refused_or_stays_one_harmless_word(option: str, daemon: str) -> None:
    assert len(HOSTILE) >= 200
    driver, spec = TailscaleDriver(), parse_spec("3001")
    detection = RUNNING if daemon == "running" else PRIVATE
    recorded = driver.plan(spec, site(detection, daemon=daemon))
    for text in HOSTILE:
        options = {"daemon": daemon, option: text}
        try:
            plan = driver.plan(spec, site(detection, **options))
        except Misuse:
            continue
        # The recorded words, each in its place: text can only stand behind a flag's own "=".
        assert len(plan.argv) == len(recorded.argv), text
        for word, known in zip(plan.argv, recorded.argv, strict=True):
            assert word == known or word.startswith("--statedir=/"), (text, word)
            assert word.isprintable()
        assert set(plan.environment) == set(recorded.environment)
        for file in plan.files:
            assert file.content.decode().isprintable(), text
