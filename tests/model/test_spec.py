"""The examples in the grammar's docstrings, round trips, and every error of a spec."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.model import gates, origin, spec
from underpass.model.duration import LONGEST, format_duration, parse_duration
from underpass.model.errors import UnderpassError
from underpass.model.errors_spec import OptionInvalid
from underpass.model.spec import (
    GateSpec,
    Kind,
    LeaseTerms,
    Origin,
    TunnelSpec,
    parse_gate,
    parse_origin,
    parse_spec,
)


def examples(docstring: str | None) -> list[str]:
    """The indented lines of a module's docstring, without what stands right of two blanks."""
    lines = re.findall(r"^ {4}(\S.*)$", docstring or "", re.MULTILINE)
    return [re.split(r" {2,}|(?<=/mcp) (?=a Model)", line)[0] for line in lines]


ORIGINS = {
    "3001": Origin("http", "localhost", 3001, "", "", "3001"),
    "localhost:3001": Origin("http", "localhost", 3001, "", "", "localhost:3001"),
    "[::1]:3001": Origin("http", "::1", 3001, "", "", "[::1]:3001"),
    "http://127.0.0.1:8080": Origin("http", "127.0.0.1", 8080, "", "", "http://127.0.0.1:8080"),
    "http://app.internal/base": Origin(
        "http", "app.internal", 80, "/base", "", "http://app.internal/base"
    ),
    "tcp://127.0.0.1:5432": Origin("tcp", "127.0.0.1", 5432, "", "", "tcp://127.0.0.1:5432"),
    "unix:///run/app.sock": Origin("unix", "", 0, "", "/run/app.sock", "unix:///run/app.sock"),
    "tcp+unix:///run/pg.sock": Origin(
        "tcp+unix", "", 0, "", "/run/pg.sock", "tcp+unix:///run/pg.sock"
    ),
    "mcp+http://localhost:3001/mcp": Origin(
        "mcp+http", "localhost", 3001, "/mcp", "", "mcp+http://localhost:3001/mcp"
    ),
    "mcp+unix:///run/mcp.sock": Origin(
        "mcp+unix", "", 0, "", "/run/mcp.sock", "mcp+unix:///run/mcp.sock"
    ),
    "mcp+stdio:uvx some-server -v": Origin(
        "mcp+stdio",
        "",
        0,
        "",
        "",
        "mcp+stdio:uvx some-server -v",
        ("uvx", "some-server", "-v"),
    ),
}


def test_every_example_of_an_origin_is_read_as_the_grammar_says() -> None:
    assert examples(origin.__doc__) == list(ORIGINS)
    for text, wanted in ORIGINS.items():
        assert parse_origin(text) == wanted
        assert str(parse_origin(text)) == text


def test_every_example_of_a_gate_is_read_and_written_back() -> None:
    texts = examples(gates.__doc__)
    assert len(texts) == 12
    for text in texts:
        assert str(parse_gate(text)) == text
    assert parse_gate("basic").user == "underpass"
    assert parse_gate("basic:alice").user == "alice"
    cidrs = parse_gate("ip:203.0.113.7,2001:db8::/32").cidrs
    assert cidrs == ("203.0.113.7/32", "2001:db8::/32")


def test_every_example_of_a_spec_is_whole_and_written_back() -> None:
    texts = examples(spec.__doc__)
    assert len(texts) == 12
    for text in texts:
        read = parse_spec(text)
        read.validate()
        assert parse_spec(str(read)) == read
    assert str(parse_spec(texts[2])) == texts[2]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("3001", Kind.HTTP),
        ("unix:///a", Kind.HTTP),
        ("tcp+unix:///a", Kind.TCP),
        ("mcp+http://h/mcp", Kind.MCP),
    ],
)
def test_kind_follows_from_the_origin(text: str, kind: Kind) -> None:
    assert parse_origin(text).kind is kind
    assert TunnelSpec(parse_origin(text)).kind is kind


def test_a_spec_without_gates_is_closed_by_a_bearer_gate() -> None:
    assert TunnelSpec(parse_origin("3001")).gates == (GateSpec("bearer"),)
    assert TunnelSpec(parse_origin("3001"), public=True).gates == ()


def test_an_origin_sees_loopback_only_where_it_is_met_by_reach_or_somebody_says_so():
    assert parse_spec("3001").peer == "machine"
    assert parse_spec("mcp+http://localhost:1/mcp").peer == "machine"
    assert parse_spec("tcp://localhost:5432").peer == "loopback"
    assert parse_spec("tcp://localhost:5432 --gate ip:203.0.113.0/24").peer == "machine"
    assert parse_spec("tcp://localhost:5432 --public --for 30m").peer == "machine"
    assert parse_spec("3001 --peer loopback").peer == "loopback"
    assert str(parse_spec("3001 --peer loopback")) == "3001 --peer loopback"
    assert str(parse_spec("3001 --peer machine")) == "3001"
    with pytest.raises(OptionInvalid):
        parse_spec("3001 --peer somewhere")


def test_stock_mcp_servers_see_their_own_host_unless_told_otherwise() -> None:
    assert parse_spec("mcp+http://localhost:1/mcp").host_header == "origin"
    assert parse_spec("3001").host_header == "preserve"
    kept = parse_spec("mcp+http://localhost:1/mcp --host-header preserve")
    assert kept.host_header == "preserve"
    assert str(kept) == "mcp+http://localhost:1/mcp --host-header preserve"


def test_a_tcp_tunnel_gets_a_public_port_only_with_an_ip_gate_or_in_public() -> None:
    assert parse_spec("tcp://h:1").exposure == "gated"
    assert parse_spec("tcp://h:1 --gate ip:10.0.0.0/8").exposure == "open"
    assert parse_spec("tcp://h:1 --public").exposure == "open"


def test_repr_gives_back_what_the_user_wrote() -> None:
    read = parse_spec("3001 --name tools --gate basic:alice")
    assert repr(read) == "TunnelSpec('3001 --name tools --gate basic:alice')"
    assert repr(read.origin) == "Origin('3001')"
    assert repr(read.gates[0]) == "GateSpec('basic:alice')"


NAMES = st.from_regex(r"[a-z0-9][a-z0-9][a-z0-9]([a-z0-9-]{0,59}[a-z0-9])?", fullmatch=True)
HOSTS = st.one_of(
    st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,6})?", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
PORTS = st.integers(1, 65535)
SEGMENTS = st.text(string.ascii_letters + string.digits + "_-~", min_size=1, max_size=8)
PATHS = st.lists(SEGMENTS, min_size=0, max_size=3).map(
    lambda parts: "".join("/" + p for p in parts)
)
WEB = st.builds(lambda h, p, b: f"http://{h}:{p}{b}", HOSTS, PORTS, PATHS)
ORIGIN_TEXTS = st.one_of(
    PORTS.map(str),
    st.builds(lambda h, p: f"{h}:{p}", HOSTS, PORTS),
    WEB,
    WEB.map(lambda text: "mcp+" + text),
    st.builds(lambda h, p: f"tcp://{h}:{p}", HOSTS, PORTS),
    PATHS.filter(bool).map(lambda path: "unix://" + path),
    PATHS.filter(bool).map(lambda path: "tcp+unix://" + path),
)
NETWORKS = st.lists(
    st.one_of(
        st.ip_addresses(v=4).map(str),
        st.builds(lambda a, b: f"{a}.{b}.0.0/16", st.integers(1, 223), st.integers(0, 255)),
        st.ip_addresses(v=6).map(lambda address: f"{address}/128"),
    ),
    min_size=1,
    max_size=4,
)
GATE_TEXTS = st.one_of(
    st.sampled_from(["bearer", "basic", "link"]),
    st.text(string.ascii_letters + "._-@", min_size=1, max_size=64).map("basic:".__add__),
    NETWORKS.map(lambda parts: "ip:" + ",".join(parts)),
)
WORDS = st.text(max_size=40).filter(str.isprintable)


@given(ORIGIN_TEXTS)
def test_any_origin_reads_back_the_same(text: str) -> None:
    read = parse_origin(text)
    assert str(read) == text
    assert parse_origin(str(read)) == read


@given(GATE_TEXTS)
def test_any_gate_reads_back_the_same(text: str) -> None:
    assert str(parse_gate(text)) == text
    assert parse_gate(str(parse_gate(text))) == parse_gate(text)


@given(st.integers(1, LONGEST))
def test_any_duration_reads_back_the_same(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@st.composite
def specs(draw: st.DrawFn) -> TunnelSpec:
    where = parse_origin(draw(ORIGIN_TEXTS))
    seconds = st.integers(1, LONGEST)
    return TunnelSpec(
        where,
        name=draw(st.one_of(st.just(""), NAMES)),
        gates=tuple(map(parse_gate, draw(st.lists(GATE_TEXTS, max_size=3)))),
        lease=LeaseTerms(draw(WORDS), draw(WORDS), draw(seconds), draw(st.none() | seconds)),
        engines=tuple(draw(st.lists(st.sampled_from(["relay", "ssh", "bore"]), min_size=1))),
        public=draw(st.booleans()),
        host_header=draw(st.sampled_from(["preserve", "origin"])),
        peer=draw(st.sampled_from([None, "machine", "loopback"])),
        health_path=draw(st.none() | st.just("/healthz")),
        cors=tuple(draw(st.lists(st.just("https://app.example.com"), max_size=2))),
        tls=draw(st.sampled_from(["terminate", "passthrough"])),
        health=draw(st.sampled_from(["proof", "tcp"])),
        pass_env=tuple(draw(st.lists(st.sampled_from(["A_KEY", "_x", "B2"]), max_size=2))),
    )


@given(specs())
def test_any_spec_reads_back_the_same(made: TunnelSpec) -> None:
    assert parse_spec(str(made)) == made


def refusal(act: Callable[[], object]) -> UnderpassError | None:
    try:
        act()
    except UnderpassError as error:
        return error
    return None


@given(st.text(max_size=60))
def test_any_text_is_an_origin_or_a_misuse(text: str) -> None:
    error = refusal(lambda: parse_origin(text))
    assert error is None or (error.exit_code == 2 and error.message.startswith("cannot "))


@given(st.text(max_size=60))
def test_any_line_is_a_spec_or_a_clear_error(text: str) -> None:
    error = refusal(lambda: parse_spec("3001 " + text).validate())
    assert error is None or (error.code and error.message.startswith("cannot "))


@given(NETWORKS)
def test_behind_any_ip_gate_there_is_a_foreign_address(parts: list[str]) -> None:
    networks = [ip_network(cidr) for cidr in parse_gate("ip:" + ",".join(parts)).cidrs]
    foreign = ip_address(gates.foreign_address(map(str, networks)))
    assert not any(foreign in network for network in networks)


def test_half_of_all_addresses_is_the_widest_ip_gate() -> None:
    assert parse_gate("ip:0.0.0.0/1").cidrs == ("0.0.0.0/1",)
    assert parse_gate("ip:2000::/4").cidrs == ("2000::/4",)
    widest = "ip:0.0.0.0/2,128.0.0.0/2"
    assert gates.foreign_address(parse_gate(widest).cidrs) == "192.0.2.1"


def test_names_follow_the_grammar_of_labels() -> None:
    assert all(map(spec.is_name, ("abc", "a1-b", "0-0", "a" * 63)))
    assert not any(
        map(spec.is_name, ("", "ab", "a" * 64, "a.b", "ab-", "ABC", "a_b", "äbc", "a\nb"))
    )


BAD_ORIGINS = {
    "": "origin-malformed",
    "a" * 3000: "origin-malformed",
    "0": "port-out-of-range",
    "65536": "port-out-of-range",
    "99999999999999999999": "port-out-of-range",
    "-1": "origin-malformed",
    "00": "origin-malformed",
    "localhost:080": "origin-malformed",
    "+3001": "origin-malformed",
    "٣٠٠١": "origin-malformed",
    "3001 ": "origin-malformed",
    "30\n01": "origin-malformed",
    "3_001": "origin-malformed",
    "localhost": "origin-malformed",
    "localhost:": "origin-malformed",
    "localhost:http": "origin-malformed",
    "localhost:70000": "port-out-of-range",
    ":3001": "origin-malformed",
    "::1:3001": "origin-malformed",
    "[::1": "origin-malformed",
    "[::1]": "origin-malformed",
    "[127.0.0.1]:80": "origin-malformed",
    "a..b:80": "origin-malformed",
    "-a:80": "origin-malformed",
    "bücher.example:80": "origin-malformed",
    "http://": "origin-malformed",
    "http:///base": "origin-malformed",
    "http://h:0/": "port-out-of-range",
    "http://h/../etc": "origin-malformed",
    "http://h/a/%2e%2e/b": "origin-malformed",
    "http://h//a": "origin-malformed",
    "http://h/a b": "origin-malformed",
    "http://h/a\\b": "origin-malformed",
    "http://h/%zz": "origin-malformed",
    "http://h/?key=1": "origin-malformed",
    "http://h/#top": "origin-malformed",
    "tcp://h": "origin-malformed",
    "tcp://h:1/x": "origin-malformed",
    "unix://run/app.sock": "origin-malformed",
    "unix:////run": "origin-malformed",
    "unix:///run/": "origin-malformed",
    "unix:///" + "a" * 104: "origin-malformed",
    "https://localhost:3001": "unknown-scheme",
    "ftp://h:21": "unknown-scheme",
    "file:///etc/passwd": "unknown-scheme",
    "mcp://h:1": "unknown-scheme",
}


@pytest.mark.parametrize(("text", "code"), BAD_ORIGINS.items())
def test_a_bad_origin_is_refused_with_its_code(text: str, code: str) -> None:
    with pytest.raises(UnderpassError) as caught:
        parse_origin(text)
    assert caught.value.code == code
    assert caught.value.exit_code == 2
    assert caught.value.hint is None or "{" not in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "http://bob:hunter2@h:1",
        "ftp://bob:hunter2@h",
        "bob:hunter2@h:1",
        "http:/bob:hunter2@h",
        "http://h:1/?key=hunter2",
        "http://h?key=hunter2",
        "tcp://hunter2@h:1",
    ],
)
def test_a_secret_written_into_an_origin_is_not_repeated(text: str) -> None:
    with pytest.raises(UnderpassError) as caught:
        parse_origin(text)
    assert "hunter2" not in f"{caught.value}{caught.value!r}{caught.value.to_dict()}"
    assert caught.value.code in {"origin-has-credentials", "origin-malformed"}


BAD_SPECS = {
    "3001 --name ab": "name-invalid",
    "3001 --name Tools": "name-invalid",
    "3001 --name -tools": "name-invalid",
    "3001 --name tools-": "name-invalid",
    "3001 --name to_ols": "name-invalid",
    "3001 --name a.b.c": "name-invalid",
    "3001 --name xn--tools": "name-invalid",
    f"3001 --name {'a' * 64}": "name-invalid",
    "3001 --gate saml": "gate-unknown",
    "3001 --gate Bearer": "gate-unknown",
    "3001 --gate bearer:mysecret": "gate-malformed",
    "3001 --gate link:mysecret": "gate-malformed",
    "3001 --gate basic:alice:mysecret": "gate-malformed",
    "3001 --gate basic:": "gate-malformed",
    "3001 --gate ip": "gate-malformed",
    "3001 --gate ip:": "gate-malformed",
    "3001 --gate ip:10.0.0.1/8": "gate-malformed",
    "3001 --gate ip:10.0.0.0/255.0.0.0": "gate-malformed",
    "3001 --gate ip:010.0.0.1": "gate-malformed",
    "3001 --gate ip:10.0.0.1,": "gate-malformed",
    "3001 --gate ip:fe80::1%eth0": "gate-malformed",
    "3001 --gate ip:localhost": "gate-malformed",
    "3001 --gate ip:" + ",".join(["10.0.0.1"] * 65): "gate-malformed",
    "3001 --gate ip:0.0.0.0/0": "gate-malformed",
    "3001 --gate ip:::/0": "gate-malformed",
    "3001 --gate ip:0.0.0.0/1,128.0.0.0/1": "gate-malformed",
    "3001 --gate ip:0.0.0.0/1,128.0.0.0/8": "gate-malformed",
    "3001 --gate ip:2000::/3": "gate-malformed",
    "3001 --gate ip:::ffff:0.0.0.0/96": "gate-malformed",
    "3001 --gate bearer --gate bearer": "gate-conflict",
    "3001 --gate bearer --gate basic": "gate-conflict",
    "3001 --gate ip:10.0.0.1 --gate ip:10.0.0.2": "gate-conflict",
    "3001 --public --for 1h --gate bearer": "gate-conflict",
    "tcp://h:1 --gate bearer --gate ip:10.0.0.1": "gate-conflict",
    "tcp://h:1 --gate basic": "gate-unsupported",
    "tcp://h:1 --gate link": "gate-unsupported",
    "3001 --public": "public-needs-duration",
    "3001 --public --for 61m": "public-needs-duration",
    "3001 --for 0s": "duration-invalid",
    "3001 --for 3600": "duration-invalid",
    "3001 --for 367d": "duration-invalid",
    "3001 --for 1m1h": "duration-invalid",
    "3001 --for -1h": "duration-invalid",
    "3001 --for ''": "duration-invalid",
    "3001 --idle soon": "duration-invalid",
    "3001 --engine Teleport": "engine-unknown",
    "3001 --engine -oProxyCommand=x": "engine-unknown",
    "3001 --engine relay --engine relay": "engine-unknown",
    "3001 --host-header other": "option-invalid",
    "3001 --health-path healthz": "option-invalid",
    "3001 --health-path '/a b'": "option-invalid",
    "3001 --cors '*'": "option-invalid",
    "3001 --cors null": "option-invalid",
    "3001 --cors https://app.example.com/": "option-invalid",
    "3001 --tls none": "option-invalid",
    "3001 --owner 'a\tb'": "option-invalid",
    f"3001 --purpose {'a' * 201}": "option-invalid",
    "3001 --health tcp": "option-conflict",
    "tcp://h:1 --tls passthrough": "option-conflict",
    "tcp://h:1 --health-path /": "option-conflict",
    "tcp://h:1 --cors https://a": "option-conflict",
    "tcp://h:1 --host-header origin": "option-conflict",
    "3001 --pass-env A_KEY": "option-conflict",
    "3001 --mcp --pass-env A_KEY": "option-conflict",
    "mcp+stdio:x --pass-env 2A": "option-invalid",
    "mcp+stdio:x --pass-env ''": "option-invalid",
    "mcp+stdio:x --pass-env A_KEY=mysecret": "option-invalid",
    "": "spec-unreadable",
    "3001 --purpose 'open": "spec-unreadable",
    "3001 --open": "spec-unreadable",
    "3001 --name": "spec-unreadable",
    "3001 --name abc --name abd": "spec-unreadable",
    "3001 --name abc --name abc": "spec-unreadable",
}


@pytest.mark.parametrize(("line", "code"), BAD_SPECS.items())
def test_a_bad_spec_is_refused_with_its_code(line: str, code: str) -> None:
    with pytest.raises(UnderpassError) as caught:
        parse_spec(line).validate()
    assert caught.value.code == code
    assert caught.value.exit_code == (4 if code == "public-needs-duration" else 2)
    assert "mysecret" not in f"{caught.value}{caught.value!r}"


def test_a_kind_that_is_not_the_origins_is_refused() -> None:
    with pytest.raises(UnderpassError, match="of kind http") as caught:
        TunnelSpec(parse_origin("3001"), kind=Kind.TCP).validate()
    assert caught.value.code == "option-conflict"


def test_public_is_allowed_for_an_hour_and_longer_only_by_policy() -> None:
    hour = parse_spec("3001 --public --for 1h")
    hour.validate()
    longer = replace(hour, lease=LeaseTerms(seconds=7200))
    longer.validate(public_limit=7200)
    with pytest.raises(UnderpassError) as caught:
        longer.validate()
    assert caught.value.to_dict() == {
        "code": "public-needs-duration",
        "message": "cannot open a tunnel to everybody for 2h: --public needs --for of at most 1h",
        "hint": "add --for 1h, or use a gate instead of --public",
        "retryable": False,
    }
