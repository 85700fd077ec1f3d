"""The plans of the driver, which start nothing, and what it sees on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from underpass.drivers.cloudflare.driver import CloudflareDriver, judge_version
from underpass.drivers.cloudflare.engine import CloudflareEngine, CloudflareTcpEngine, rules_of
from underpass.drivers.cloudflare.foreign import read_words
from underpass.drivers.errors import EngineCannot, EngineMissing, EngineOptionInvalid
from underpass.drivers.plans import Detection, DoorAddress, DoorKind, Plan, Site
from underpass.drivers.registry import load
from underpass.guard.secrets import Secret
from underpass.model.errors import Misuse
from underpass.model.spec import parse_spec
from underpass.testing.driver_bench import Options
from underpass.testing.hostile import HOSTILE

pytestmark = pytest.mark.pure

TUNNEL = "11111111-2222-3333-4444-555555555555"
TOKEN = "eyJhIjoiYWNjb3VudCIsInQiOiJ0dW5uZWwiLCJzIjoic2VjcmV0In0="
NAMED = {"hostname": "mcp.example.com", "token-file": "/etc/tunnel.token"}
OWN = {"hostname": "mcp.example.com", "credentials-file": f"/etc/{TUNNEL}.json"}
API = {**NAMED, "api-token-file": "/etc/api.token"}


def site(**options: str) -> Site:
    return Site(
        "tools",
        Path("/run/tools"),
        options={name.replace("_", "-"): text for name, text in options.items()},
        environment={"TUNNEL": TOKEN, "TUNNEL_TOKEN": "not-for-us", "SSL_CERT_FILE": "/ca.pem"},
        detection=Detection(True, "/opt/cloudflared", "2026.7.3"),
        door=DoorAddress(port=4_000),
    )


def plan_of(options: Options, words: str = "3001", **more: Any) -> Plan:
    return CloudflareDriver(**more).plan(parse_spec(words), site(**options))


def configuration(plan: Plan) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(plan.files[0].content)
    return told


SHARED = (
    *("/opt/cloudflared", "tunnel", "--config", "/run/tools/cloudflared.json"),
    *("--no-autoupdate", "--no-prechecks", "--output", "json", "--loglevel", "info"),
    *("--metrics", "127.0.0.1:0", "--grace-period", "1s", "--protocol", "auto"),
)


def test_it_is_known_by_its_word() -> None:
    assert load("cloudflare").name == "cloudflare"


def test_a_quick_tunnel_is_planned_without_an_account() -> None:
    plan = plan_of({})
    assert plan.argv == (*SHARED, "--url", "http://127.0.0.1:9")
    assert configuration(plan) == {"ingress": [{"service": "http://127.0.0.1:4000"}]}
    assert plan.url == ""
    assert plan.secure
    assert plan.door is DoorKind.PORT
    assert any("200 requests" in limit for limit in plan.limits)


def test_a_named_tunnel_runs_by_a_token_in_a_file() -> None:
    plan = plan_of(NAMED)
    assert plan.argv == (*SHARED, "run", "--token-file", "/etc/tunnel.token")
    assert plan.url == "https://mcp.example.com"
    assert configuration(plan)["ingress"] == [
        {"hostname": "mcp.example.com", "service": "http://127.0.0.1:4000"},
        {"service": "http_status:503"},
    ]


def test_a_token_from_a_variable_goes_by_a_private_file_and_nowhere_else() -> None:
    plan = plan_of({"hostname": "mcp.example.com:8443", "token-env": "TUNNEL"})
    assert plan.argv[-2:] == ("--token-file", "/run/tools/cloudflared.token")
    assert plan.files[1].content == TOKEN.encode()
    assert plan.files[1].mode == 0o600
    assert plan.environment == {"SSL_CERT_FILE": "/ca.pem"}
    assert TOKEN not in repr(plan)
    assert Secret(TOKEN) in plan.secrets
    assert plan.url == "https://mcp.example.com:8443"


def test_a_credentials_file_names_its_tunnel() -> None:
    plan = plan_of(OWN)
    assert plan.argv == (*SHARED, "run")
    told = configuration(plan)
    assert told["tunnel"] == TUNNEL
    assert told["credentials-file"] == f"/etc/{TUNNEL}.json"


def test_what_cloudflared_shows_at_the_door_is_secret_and_in_a_file() -> None:
    secret = Secret("0123456789abcdef" * 4)
    plan = plan_of(NAMED, door_secret=secret)
    assert configuration(plan)["tag"] == [f"underpass={secret.reveal()}"]
    assert plan.vouching is not None
    assert plan.vouching.secret_header == b"cf-warp-tag-underpass"
    assert plan.vouching.secret == secret
    assert secret.reveal() not in repr(plan) + " ".join(plan.argv)


def test_a_byte_stream_is_planned_with_its_visitors_own_program() -> None:
    plan = plan_of(NAMED, "tcp://127.0.0.1:5432 --public --for 30m")
    assert rules_of(plan)[0]["service"] == "tcp://127.0.0.1:4000"
    assert plan.url == "tcp://mcp.example.com:443"
    assert "cloudflared access tcp" in plan.visitors
    assert plan.vouching is None


def test_each_kind_of_origin_has_its_engine() -> None:
    tcp = parse_spec("tcp://127.0.0.1:5432 --public --for 30m")
    driver = CloudflareDriver()
    assert isinstance(driver.make_engine(tcp, site()), CloudflareTcpEngine)
    assert type(driver.make_engine(parse_spec("3001"), site())) is CloudflareEngine


def test_two_engines_have_two_secrets() -> None:
    first, second = (CloudflareDriver().make_engine(parse_spec("3001"), site()) for _ in range(2))
    assert isinstance(first, CloudflareEngine)
    assert isinstance(second, CloudflareEngine)
    assert first._driver.plan(parse_spec("3001"), site()) != second._driver.plan(
        parse_spec("3001"), site()
    )


def test_the_same_arguments_give_the_same_plan() -> None:
    assert plan_of(API) == plan_of(API)


@pytest.mark.parametrize(
    ("words", "options", "why"),
    [
        ("3001 --tls passthrough", NAMED, "passthrough"),
        ("tcp://127.0.0.1:22", NAMED, "bearer gate on a tcp tunnel"),
        ("tcp://127.0.0.1:22 --gate ip:192.0.2.0/24", NAMED, "the ip gate"),
        (
            "tcp://127.0.0.1:22 --public --for 30m",
            {**API, "access": "@example.com"},
            "Access in front of a tcp origin",
        ),
    ],
)
def test_what_it_cannot_carry_is_refused_before_anything_is_started(
    words: str, options: Options, why: str
) -> None:
    with pytest.raises(EngineCannot, match=why):
        plan_of(options, words)


def test_an_ip_gate_is_planned_since_its_edge_tells_addresses() -> None:
    plan = plan_of(NAMED, "3001 --gate ip:192.0.2.0/24")
    assert plan.vouching is not None
    assert any("other users of this machine" in limit for limit in plan.limits)
    assert not any("other users" in limit for limit in plan_of(NAMED).limits)


def test_calls_to_the_api_are_told_before_they_are_made() -> None:
    assert plan_of(NAMED).calls == ()
    assert [call.partition(" ")[0] for call in plan_of(API).calls] == ["PUT", "POST"]
    calls = plan_of({**API, "access": "@example.com"}).calls
    assert any(call.endswith("/access/apps") for call in calls)


def test_a_name_is_kept_where_there_is_an_account() -> None:
    driver, spec = CloudflareDriver(), parse_spec("3001")
    assert not driver.keeps_name(spec, site())
    assert driver.keeps_name(spec, site(**NAMED))
    assert driver.own_gates() == {"access"}


def test_a_program_that_cannot_be_used_is_refused() -> None:
    there = judge_version("/opt/cloudflared", ["bot 1.0"], signed_in=None)
    assert not there.is_usable
    old = judge_version("/c", ["cloudflared version 2024.12.1 (built 2024)"], signed_in=None)
    assert "older than 2025.4.0" in old.why_not
    good = judge_version("/c", ["cloudflared version 2026.7.3 (built unknown)"], signed_in=True)
    assert (good.version, good.is_usable) == ("2026.7.3", True)
    missing = Site("tools", Path("/run/tools"), detection=old)
    with pytest.raises(EngineMissing, match="older"):
        CloudflareDriver().plan(parse_spec("3001"), missing)


# Hostile input

EVERY_OPTION = (
    *("hostname", "token-file", "token-env", "credentials-file", "tunnel", "protocol", "region"),
    *("edge", "edge-ca", "quick-service", "api-token-file", "api-token-env", "zone", "account"),
    *("access", "access-token-file", "api"),
)


def test_there_are_two_hundred_hostile_strings() -> None:
    assert len(set(HOSTILE)) >= 200


@pytest.mark.parametrize("option", EVERY_OPTION)
def test_hostile_strings_are_refused_or_stay_one_harmless_word(option: str) -> None:
    shapes = {"tunnel": OWN, "credentials-file": {"hostname": "mcp.example.com"}}
    base = shapes.get(option, {} if option == "quick-service" else API)
    if option == "token-env":
        base = {"hostname": "mcp.example.com"}
    usual = plan_of({**base, **({} if option in base else USUAL.get(option, {}))})
    for text in HOSTILE:
        try:
            plan = plan_of({**base, option: text})
        except (Misuse, EngineCannot):
            continue
        words = [*plan.argv, *strings(configuration(plan)), *plan.calls, plan.url]
        new = [word for word in words if word not in set(usual.argv)]
        for word in words:
            assert word.isprintable(), (text, word)
        # As many words as ever, and none of them a flag that was not there.
        assert len(plan.argv) <= len(usual.argv) + 2, text
        assert not any(word.startswith("-") for word in new if word not in FLAGS), (text, new)


USUAL: dict[str, Options] = {
    "token-env": {"token-env": "TUNNEL"},
    "credentials-file": {"credentials-file": f"/etc/{TUNNEL}.json"},
}
FLAGS = ("--token-file", "--region", "--edge", "--cacert", "--quick-service")


def strings(told: Any) -> list[str]:
    """Every string in a configuration."""
    if isinstance(told, dict):
        return [text for each in told.values() for text in strings(each)]
    if isinstance(told, list):
        return [text for each in told for text in strings(each)]
    return [str(told)]


@pytest.mark.parametrize("name", ["", "tools", "-x", "--help"])
def test_a_tunnels_own_name_never_reaches_the_words(name: str) -> None:
    spec = parse_spec("3001" + (f" --name {name}" if name == "tools" else ""))
    hostile = Site("-x" if name.startswith("-") else "tools", Path("/run/tools"))
    assert "-x" not in CloudflareDriver().plan(spec, hostile).argv


@pytest.mark.parametrize(
    "options",
    [
        {"hostname": "mcp.example.com"},
        {"token-file": "/etc/tunnel.token"},
        {**NAMED, "token-env": "TUNNEL"},
        {"hostname": "mcp.example.com", "token-env": "UNSET"},
        {"hostname": "mcp.example.com", "credentials-file": "/etc/tools.json"},
        {**NAMED, "tunnel": TUNNEL},
        {**NAMED, "protocol": "h2mux"},
        {**NAMED, "region": "eu"},
        {**NAMED, "edge": "198.51.100.7"},
        {**NAMED, "edge": ",".join(["198.51.100.7:7844"] * 17)},
        {**NAMED, "zone": "example.com"},
        {**NAMED, "access": "@example.com"},
        {**API, "access": "somebody"},
        {**API, "access": "service"},
        {**API, "access-token-file": "/etc/access.token"},
        {**API, "access": ",".join(f"a{at}@example.com" for at in range(51))},
        {**API, "api-token-env": "API"},
        {**API, "api": "http://api.example.com"},
        {"api-token-file": "/etc/api.token"},
        {**NAMED, "hostname": "192.0.2.1"},
        {**NAMED, "hostname": "localhost"},
        {**NAMED, "hostname": "mcp.example.com:0"},
        {**NAMED, "token": "eyJhIjoi"},
    ],
)
def test_options_that_make_no_sense_are_refused(options: Options) -> None:
    with pytest.raises(EngineOptionInvalid):
        plan_of(options)


# Tunnels of others


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["tunnel", "--url", "http://localhost:8080"], ("http://localhost:8080", "")),
        (["tunnel", "--url=localhost:8080", "--hostname", "a.b"], ("localhost:8080", "a.b")),
        (
            ["tunnel", "run", "--token", "hidden"],
            ("what its configuration at Cloudflare says", ""),
        ),
        (
            ["--no-autoupdate", "tunnel", "--config", "/c.yml", "run", "mine"],
            ("what its configuration says: /c.yml", "mine"),
        ),
        (["tunnel", "list"], None),
        (["access", "tcp", "--hostname", "a.b", "--url", "127.0.0.1:1"], None),
        (["--version"], None),
        ([], None),
    ],
)
def test_what_a_foreign_cloudflared_exposes_is_told_without_its_token(
    words: list[str], told: tuple[str, str] | None
) -> None:
    assert read_words(words) == told
    assert "hidden" not in str(read_words(words))
