"""What the advice says an engine can do, its driver can; and what it leaves out, it cannot.

The advice is pure and knows no driver, so both are held against each other here.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.test_advise_commands import parsed, spec_of
from tests.decide.grid import fill, needs_of, our_words, steps_of

from underpass.assembly.engines import options_by_engine
from underpass.decide.need import Auth, Traffic
from underpass.decide.ways import WAYS, way
from underpass.drivers.base import Driver, MakesReach
from underpass.drivers.errors import EngineCannot, EngineMissing
from underpass.drivers.plans import Plan, Site
from underpass.drivers.registry import BUILT_IN, load
from underpass.drivers.wireguard.topology import parse_topology
from underpass.model.spec import TunnelSpec, parse_spec

GATES = {
    Auth.TOKEN: "bearer",
    Auth.BASIC: "basic",
    Auth.LINK: "link",
    Auth.SIGNATURE: "signature:github",
    Auth.JWT: "jwt:https://id.example.com,aud=tools",
    Auth.SSO: "oauth",
    Auth.IP: "ip:203.0.113.0/24",
    Auth.CERTIFICATE: "mtls:file:/etc/ca.pem",
}
ORIGIN = {Traffic.HTTP: "3001", Traffic.MCP: "3001 --mcp", Traffic.TCP: "tcp://127.0.0.1:9000"}

LEFT_OUT = {
    # Clients that walk OAuth refuse plain http, and so does `open` once the address is known.
    ("bore-own", Auth.SSO): "plain http",
    ("bore-pub", Auth.SSO): "plain http",
    ("ssh-remote", Auth.SSO): "plain http",
    ("wireguard", Auth.SSO): "plain http",
    # Ends of TLS are sold with paid plans.
    ("ngrok-free", Auth.CERTIFICATE): "paid",
}
"""What a driver would plan and the advice leaves out all the same."""

ENOUGH = {
    "bore": {"via": "bore.example.com"},
    "ssh": {"via": "alice@host.example.com"},
    "ssh-service": {"via": "nokey@localhost.run"},
    "tailscale": {"door": "unix"},
    "wireguard": {"topology": "/etc/underpass/mesh.toml", "host": "laptop"},
}
"""Options without which an engine plans nothing, or less than it could."""

OPENED = [one for one in WAYS if one.id not in ("ssh-local", "ssh-kept", "relay-reach")]


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's files say more than the words do."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("UNDERPASS_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)


def site(tmp_path: Path, options: dict[str, str]) -> Site:
    environment = {"NGROK_AUTHTOKEN": "2abc_TOKEN", "PATH": "/usr/bin:/bin"}
    return Site("tools", tmp_path, options=options, environment=environment)


def planned(driver: Driver, spec: TunnelSpec, where: Site) -> Plan | None:
    """The plan; None where only something on this machine is missing."""
    try:
        return driver.plan(spec, where)
    except EngineMissing:
        return None


def refuses(engine: str, text: str, tmp_path: Path) -> bool:
    try:
        spec = parse_spec(text)
        spec.validate()
        planned(load(engine), spec, site(tmp_path, ENOUGH.get(engine, {})))
    except EngineCannot:
        return True
    return False


def offers(identifier: str, auth: Auth, traffic: Traffic) -> bool:
    """Whether the advice has our gate for it, whoever the visitor is."""
    return any(
        gate.auth is auth and traffic in gate.traffic and not gate.theirs
        for gate in way(identifier).gates
    )


@pytest.mark.parametrize("one", OPENED, ids=lambda one: one.id)
@pytest.mark.parametrize("auth", GATES)
def test_a_gate_is_offered_where_the_engine_can_support_it_and_nowhere_else(one, auth, tmp_path):
    for traffic in one.traffic & ORIGIN.keys():
        passthrough = " --tls passthrough" if auth is Auth.CERTIFICATE else ""
        if traffic is Traffic.TCP and auth not in (Auth.TOKEN, Auth.IP):
            assert not offers(one.id, auth, traffic)  # no byte stream shows such a thing
            continue
        text = f"{ORIGIN[traffic]} --gate {GATES[auth]}{passthrough}"
        if offers(one.id, auth, traffic):
            assert not refuses(one.engine, text, tmp_path)
        elif (one.id, auth) not in LEFT_OUT and (one.id, auth, traffic) != RELAY_TCP:
            assert refuses(one.engine, text, tmp_path), text


RELAY_TCP = ("relay-tcp", Auth.TOKEN, Traffic.TCP)
# A token is shown by `underpass reach`, which is a way of its own.


def test_everything_that_is_left_out_would_be_possible(tmp_path):
    """The control: an exception that is none any more is found."""
    for identifier, auth in LEFT_OUT:
        passthrough = " --tls passthrough" if auth is Auth.CERTIFICATE else ""
        text = f"3001 --gate {GATES[auth]}{passthrough}"
        assert not offers(identifier, auth, Traffic.HTTP)
        assert not refuses(way(identifier).engine, text, tmp_path)


def test_every_tunnel_that_is_advised_is_planned_by_its_driver(at_home, tmp_path):
    """With the very options that the advice names."""
    for words in our_words():
        if words[1] != "open":
            continue
        context = parsed(words)
        spec = spec_of(context)
        engine = spec.engines[0]
        options = options_by_engine(spec.engines, dict(context.params["engine_option"]))[engine]
        if engine == "tailscale":
            options = {**options, "door": "unix"}  # as root has it
        token = tmp_path / "tools.token"
        token.write_text("eyJhIjoiYSIsInMiOiJjMlZqY21WMCIsInQiOiJ0In0=")
        token.chmod(0o600)
        options = {
            key: str(token) if key in ("token-file", "api-token-file") else value
            for key, value in options.items()
        }
        try:
            planned(load(engine), spec, site(tmp_path, options))
        except Exception as error:
            pytest.fail(f"{' '.join(words)}: {type(error).__name__}: {error}")


def test_every_reach_by_ssh_is_planned_by_its_driver(at_home, tmp_path):
    asked = [words for words in our_words() if words[1] == "reach" and "--via" in words]
    assert asked
    driver = load("ssh")
    assert isinstance(driver, MakesReach)
    for words in asked:
        params = parsed(words).params
        where = site(tmp_path, {"via": params["via"].partition(":")[2]})
        driver.make_reach(params["name"], where)


def test_the_topology_that_is_advised_is_one():
    texts = {
        fill(step.text)
        for need in needs_of(way("wireguard"))
        for step in steps_of(need, way("wireguard"))
        if step.file == "mesh.toml"
    }
    assert len(texts) == 2  # for two machines, and for three
    for text in texts:
        assert {"hub", "peer1"} <= set(parse_topology(text).hosts)


def test_every_engine_with_a_driver_is_a_way():
    assert {one.engine for one in WAYS} == set(BUILT_IN)


def test_a_driver_that_could_do_less_would_be_found(tmp_path):
    """The control: bore vouches for nobody's address."""
    assert refuses("bore", "3001 --gate ip:203.0.113.0/24", tmp_path)
