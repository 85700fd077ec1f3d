"""What the driver plans: words, files, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from underpass.drivers.base import HasOwnGates, HasQuota, KeepsNames
from underpass.drivers.errors import EngineCannot, EngineMissing, EngineOptionInvalid
from underpass.drivers.ngrok.detection import SDK, judge_version
from underpass.drivers.ngrok.driver import NgrokDriver
from underpass.drivers.ngrok.policy import ADDRESS_HEADER, SECRET_HEADER
from underpass.drivers.plans import Detection, DoorAddress, DoorKind, Plan, Site
from underpass.model.errors import Misuse, UnderpassError
from underpass.model.spec import parse_spec
from underpass.testing.hostile import HOSTILE

TOKEN = "2tokenTOKENtokenTOKENtoken_0123456789"
V3 = Detection(True, "/opt/ngrok", "3.30.0", signed_in=True)
V2 = Detection(True, "/opt/ngrok", "2.3.41", signed_in=True)
THE_SDK = Detection(True, SDK, "1.4.0", signed_in=True)


def site(detection: Detection | None = V3, **options: str) -> Site:
    return Site(
        "tools",
        Path("/run/up/engine-1"),
        options={key.replace("_", "-"): value for key, value in options.items()},
        environment={"NGROK_AUTHTOKEN": TOKEN, "PATH": "/bin", "HOME": "/nowhere"},
        detection=detection,
        door=DoorAddress(port=4_000),
    )


def plan_of(words: str, at: Site) -> Plan:
    return NgrokDriver().plan(parse_spec(f"{words} --engine ngrok"), at)


def content(plan: Plan) -> Any:
    return json.loads(plan.files[0].content)


def test_the_agent_gets_one_private_file_and_no_secret_in_its_words() -> None:
    plan = plan_of("3001", site())
    assert plan.argv == (
        *("/opt/ngrok", "start", "--config=/run/up/engine-1/ngrok.yml"),
        "underpass",
    )
    assert plan.files[0].mode == 0o600
    assert TOKEN not in repr(plan)
    assert TOKEN not in " ".join(plan.environment.values())
    assert plan.secrets[0].reveal() == TOKEN
    told = content(plan)
    assert told["agent"]["authtoken"] == TOKEN
    assert told["agent"]["web_addr"] == "127.0.0.1:0"
    assert told["agent"]["remote_management"] is False
    assert told["agent"]["inspect_db_size"] == -1
    assert told["agent"]["log_level"] == "info"
    assert told["endpoints"][0]["upstream"] == {"url": "http://127.0.0.1:4000"}
    assert told["endpoints"][0]["url"] == "https://"


def test_an_agent_of_version_2_gets_its_own_form() -> None:
    plan = plan_of("3001", site(V2, server="127.0.0.1:1", server_ca="/ca.pem"))
    assert plan.argv == (
        *("/opt/ngrok", "start", "-config=/run/up/engine-1/ngrok.yml"),
        "underpass",
    )
    told = content(plan)
    assert told["server_addr"] == "127.0.0.1:1"
    assert told["root_cas"] == "/ca.pem"
    assert told["tunnels"]["underpass"]["bind_tls"] is True
    assert told["tunnels"]["underpass"]["inspect"] is False
    assert plan.vouching is None


def test_the_sdk_dials_the_gatehouse_over_a_unix_socket() -> None:
    at = replace(site(THE_SDK), door=DoorAddress(unix=Path("/run/up/engine-1/door.sock")))
    plan = plan_of("3001", at)
    assert plan.door is DoorKind.UNIX
    assert plan.argv[1:] == ("-P", "-m", SDK, "/run/up/engine-1/ngrok.yml")
    assert content(plan)["door"] == "/run/up/engine-1/door.sock"


def test_a_plan_is_the_same_twice() -> None:
    assert plan_of("3001", site()) == plan_of("3001", site())


@pytest.mark.parametrize("detection", [V3, THE_SDK])
def test_visitors_addresses_are_told_beside_a_secret_of_this_tunnel(detection: Detection) -> None:
    plan = plan_of("3001", site(detection))
    told = content(plan)
    policy = told["policy"] if detection is THE_SDK else told["endpoints"][0]["traffic_policy"]
    remove, add = policy["on_http_request"][0]["actions"]
    assert remove["config"]["headers"] == [ADDRESS_HEADER, SECRET_HEADER]
    headers = add["config"]["headers"]
    assert headers[ADDRESS_HEADER] == "${conn.client_ip}"
    vouching = plan.vouching
    assert vouching is not None
    assert vouching.secret is not None
    assert headers[SECRET_HEADER] == vouching.secret.reveal()
    assert vouching.secret in plan.secrets
    elsewhere = replace(site(detection), directory=Path("/run/up/engine-2"))
    other = plan_of("3001", elsewhere).vouching
    assert other is not None
    assert other.secret != vouching.secret


def test_the_ip_gate_goes_with_agents_that_tell_addresses_and_is_refused_with_others() -> None:
    words = "3001 --gate ip:192.0.2.0/24"
    assert plan_of(words, site()).vouching is not None
    with pytest.raises(EngineCannot, match="ip gate"):
        plan_of(words, site(V2, server="127.0.0.1:1"))
    with pytest.raises(EngineCannot, match="ip gate"):
        plan_of("tcp://127.0.0.1:5432 --gate ip:192.0.2.0/24", site())


def test_the_edge_keeps_the_ip_gate_where_the_user_asks_for_it() -> None:
    words = "3001 --gate ip:192.0.2.0/24,2001:db8::/32"
    asked = content(plan_of(words, site(edge_gates="yes")))["endpoints"][0]["traffic_policy"]
    first, *_ = asked["on_http_request"]
    allow = ["192.0.2.0/24", "2001:db8::/32"]
    assert first["actions"] == [
        {"type": "restrict-ips", "config": {"enforce": True, "allow": allow}}
    ]
    silent = content(plan_of(words, site()))["endpoints"][0]["traffic_policy"]
    assert "restrict-ips" not in json.dumps(silent)


def test_a_secret_of_a_gate_never_goes_to_the_edge() -> None:
    driver = NgrokDriver()
    assert isinstance(driver, HasOwnGates)
    assert driver.own_gates() == {"ip"}
    plan = plan_of("3001 --gate basic:alice", site(edge_gates="yes"))
    assert "basic" not in plan.files[0].content.decode()


def test_a_reserved_name_is_asked_for_and_kept() -> None:
    driver, spec = NgrokDriver(), parse_spec("3001")
    assert isinstance(driver, KeepsNames)
    assert not driver.keeps_name(spec, site())
    at = site(url="Tools.ngrok.app")
    assert driver.keeps_name(spec, at)
    plan = plan_of("3001", at)
    assert plan.url == content(plan)["endpoints"][0]["url"] == "https://tools.ngrok.app"
    old = plan_of("3001", site(V2, server="127.0.0.1:1", url="https://tools.ngrok.app"))
    assert content(old)["tunnels"]["underpass"]["hostname"] == "tools.ngrok.app"


def test_a_tcp_address_is_asked_for_with_its_port() -> None:
    words, url = "tcp://127.0.0.1:22 --public --for 30m", "tcp://1.tcp.ngrok.io:12345"
    assert content(plan_of(words, site(url=url)))["endpoints"][0]["url"] == url
    assert content(plan_of(words, site()))["endpoints"][0]["url"] == "tcp://"
    old = content(plan_of(words, site(V2, server="h:1", url=url)))["tunnels"]["underpass"]
    assert (old["proto"], old["remote_addr"]) == ("tcp", "1.tcp.ngrok.io:12345")
    assert content(plan_of(words, site(THE_SDK, url=url)))["wanted"] == "1.tcp.ngrok.io:12345"
    with pytest.raises(EngineOptionInvalid, match="goes with a tcp origin"):
        plan_of("3001", site(url=url))
    with pytest.raises(EngineOptionInvalid, match="https:// with any other"):
        plan_of(words, site(url="tools.ngrok.app"))


@pytest.mark.parametrize("detection", [V3, V2, THE_SDK], ids=["v3", "v2", "sdk"])
def test_visitors_own_tls_passes_unopened(detection: Detection) -> None:
    options = {"url": "tools.ngrok.app", "server": "h:1"}
    plan = plan_of("3001 --tls passthrough", site(detection, **options))
    assert (plan.passthrough, plan.secure, plan.vouching) == (True, True, None)
    assert plan.url == "https://tools.ngrok.app"
    told = content(plan)
    if detection is V3:
        assert told["endpoints"][0]["url"] == "tls://tools.ngrok.app"
        assert told["endpoints"][0]["upstream"] == {"url": "tcp://127.0.0.1:4000"}
        assert "traffic_policy" not in told["endpoints"][0]
    elif detection is V2:
        assert told["tunnels"]["underpass"]["proto"] == "tls"
        assert told["tunnels"]["underpass"]["hostname"] == "tools.ngrok.app"
    else:
        assert (told["kind"], told["policy"]) == ("tls", {})
    with pytest.raises(EngineCannot, match="ip gate"):
        plan_of("3001 --tls passthrough --gate ip:192.0.2.0/24", site(detection, **options))


def test_pooling_is_for_agents_that_know_it() -> None:
    assert content(plan_of("3001", site(pooling="yes")))["endpoints"][0]["pooling_enabled"] is True
    assert "pooling_enabled" not in content(plan_of("3001", site()))["endpoints"][0]
    for other in (V2, THE_SDK):
        with pytest.raises(EngineCannot, match="pooling"):
            plan_of("3001", site(other, pooling="yes", server="h:1"))


def test_without_an_authtoken_nothing_is_started() -> None:
    at = replace(site(replace(V3, signed_in=False)), environment={"PATH": "/bin"})
    with pytest.raises(EngineMissing, match="no authtoken") as refused:
        plan_of("3001", at)
    assert "NGROK_AUTHTOKEN" in (refused.value.hint or "")


def test_what_cannot_be_used_is_refused_with_the_reason() -> None:
    with pytest.raises(EngineMissing, match="older than"):
        plan_of("3001", site(judge_version("/opt/ngrok", ["ngrok version 3.5.0"], private=False)))
    with pytest.raises(EngineCannot, match="bearer gate on a tcp tunnel"):
        plan_of("tcp://127.0.0.1:22", site())


@pytest.mark.parametrize(
    ("lines", "private", "usable"),
    [
        (["ngrok version 3.30.0"], False, True),
        (["", "ngrok version 3.16.1"], False, True),
        (["ngrok version 3.15.9"], False, False),
        (["ngrok version 2.3.41"], False, False),
        (["ngrok version 2.3.41"], True, True),
        (["something else"], True, False),
        ([], False, False),
    ],
)
def test_versions_are_judged_by_who_would_take_them(
    lines: list[str], private: bool, usable: bool
) -> None:
    found = judge_version("/opt/ngrok", lines, private=private)
    assert found.is_usable is usable
    assert usable or found.hint


def test_proofs_spare_the_quota_of_a_free_plan_and_only_that() -> None:
    def quota(words: str, **options: str) -> object:
        engine = NgrokDriver().make_engine(parse_spec(words), site(**options))
        assert isinstance(engine, HasQuota)
        return engine.quota and engine.quota.requests

    assert quota("3001") == 20_000
    assert quota("tcp://127.0.0.1:22 --public --for 30m") == 2_000
    assert quota("3001", account="paid") is None
    assert quota("3001", server="edge.example:443") is None


OPTIONS = (
    *("url", "client", "pooling", "edge-gates", "account"),
    *("authtoken-env", "authtoken-file", "server", "server-ca"),
)


@pytest.mark.parametrize("detection", [V3, V2, THE_SDK], ids=["v3", "v2", "sdk"])
@pytest.mark.parametrize(
    "words", ["3001", "3001 --tls passthrough", "tcp://127.0.0.1:22 --public --for 30m"]
)
def test_hostile_text_is_refused_or_stays_one_harmless_word(
    detection: Detection, words: str
) -> None:
    assert len(HOSTILE) >= 200
    driver, spec, taken = NgrokDriver(), parse_spec(words), 0
    base = {"server": "edge.example:443"}
    for text in HOSTILE:
        for option in OPTIONS:
            at = replace(site(detection), options={**base, option: text})
            try:
                plan = driver.plan(spec, at)
            except (Misuse, UnderpassError):
                continue
            taken += 1
            assert_harmless(plan, text)
        named = replace(site(detection), name=text, options=base)
        plan = driver.plan(spec, named)
        assert_harmless(plan, text)
        assert len(json.dumps(content(plan))) < 10_000
    assert taken


def assert_harmless(plan: Plan, text: str) -> None:
    """Neither a word, a key nor a line of its own."""
    ours = plan.argv[1:]
    assert ours in (
        ("start", "--config=/run/up/engine-1/ngrok.yml", "underpass"),
        ("start", "-config=/run/up/engine-1/ngrok.yml", "underpass"),
        ("-P", "-m", SDK, "/run/up/engine-1/ngrok.yml"),
    )
    raw = plan.files[0].content
    assert raw.isascii()
    for line in raw.decode().split("\n"):
        assert line.isprintable(), (text, line)
        assert line.strip()[:1] in set('{}[]"') | {""}, (text, line)
    assert set(all_keys(content(plan))) <= KNOWN_KEYS, text


def all_keys(value: Any) -> list[str]:
    """Every key anywhere in it."""
    if isinstance(value, dict):
        return [*value, *(key for each in value.values() for key in all_keys(each))]
    if isinstance(value, list):
        return [key for each in value for key in all_keys(each)]
    return []


KNOWN_KEYS = {
    *("version", "agent", "endpoints", "authtoken", "connect_url", "connect_cas"),
    *("web_addr", "console_ui", "log", "log_format", "log_level", "heartbeat_interval"),
    *("heartbeat_tolerance", "inspect_db_size", "remote_management", "update_check"),
    *("name", "url", "upstream", "metadata", "pooling_enabled", "traffic_policy"),
    *("on_http_request", "on_tcp_connect", "actions", "type", "config", "headers"),
    *("underpass-visitor", "underpass-vouch", "server_addr", "root_cas", "update"),
    *("tunnels", "underpass", "proto", "addr", "inspect", "bind_tls", "remote_addr"),
    *("hostname", "server", "ca", "kind", "door", "wanted", "policy", "enforce", "allow"),
}
