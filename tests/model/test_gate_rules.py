"""What ``--gate`` takes: gates joined by ``+`` and ``|``, for all paths or for some."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.model import gate_arguments, gate_rules
from underpass.model.errors import UnderpassError
from underpass.model.gate_arguments import (
    DEFAULT_ALGORITHMS,
    JwtTerms,
    MtlsTerms,
    Reference,
    SignatureTerms,
    parse_jwt,
    parse_mtls,
    parse_signature,
)
from underpass.model.gate_rules import GateRule, parse_gates
from underpass.model.gates import GateSpec, parse_gate
from underpass.model.spec import TunnelSpec, parse_spec


def examples(doc: str | None) -> list[str]:
    """The texts at the head of a module's docstring, up to the explanation beside them."""
    block = (doc or "").split("\n\n", 2)[1]
    return [re.split(r"\s{2,}", line.strip())[0] for line in block.splitlines()]


def test_every_example_of_a_rule_is_read_and_written_back() -> None:
    texts = examples(gate_rules.__doc__)
    assert len(texts) == 8
    for text in texts:
        gates, rules = parse_gates([text])
        written = "+".join(map(str, gates)) if gates else str(rules[0])
        assert written == text
        assert parse_gates([written]) == (gates, rules)


def test_every_example_of_an_argument_is_a_gate() -> None:
    texts = examples(gate_arguments.__doc__)
    assert len(texts) == 9
    for text in texts:
        assert str(parse_gate(text)) == text


def test_plain_gates_are_all_asked_and_a_choice_is_a_rule_without_a_path() -> None:
    gates, rules = parse_gates(["ip:10.0.0.0/8+bearer", "link", "/x=basic|bearer+link"])
    assert gates == (GateSpec("ip", "10.0.0.0/8"), GateSpec("bearer"), GateSpec("link"))
    bearer, link = GateSpec("bearer"), GateSpec("link")
    assert rules == (GateRule(("/x",), ((GateSpec("basic"),), (bearer, link))),)
    assert parse_gates(["bearer|basic:al"])[1][0].paths == ()


def test_arguments_are_read_into_terms() -> None:
    assert parse_mtls("file:/ca.pem,name=a.example,name=b@c") == MtlsTerms(
        Reference("file", "/ca.pem"), ("a.example", "b@c")
    )
    assert parse_signature("slack") == SignatureTerms(
        "slack", (Reference("env", "SLACK_SIGNING_SECRET"),)
    )
    assert parse_jwt("https://id.example.com,aud=a,aud=b") == JwtTerms(
        "https://id.example.com", ("a", "b"), "", DEFAULT_ALGORITHMS, 30
    )
    assert parse_jwt("http://127.0.0.1:9/i,aud=a,jwks=file:/k,alg=ES384,leeway=0") == JwtTerms(
        "http://127.0.0.1:9/i", ("a",), "file:/k", ("ES384",), 0
    )


BAD_GATES = {
    "/mcp": "gate-malformed",
    "/mcp=": "gate-unknown",
    "/mcp=open+bearer": "gate-conflict",
    "/mcp=bearer+open": "gate-conflict",
    "/mcp=bearer|open": "gate-conflict",
    "/mcp=OPEN": "gate-unknown",
    "/mcp=bearer|": "gate-unknown",
    "/mcp=|bearer": "gate-unknown",
    "/mcp=bearer++link": "gate-unknown",
    "/mcp=bearer=link": "gate-unknown",
    "mcp=bearer": "gate-unknown",
    "open": "gate-malformed",
    "/mcp,=bearer": "gate-malformed",
    "/mcp,mcp=bearer": "gate-malformed",
    "//x=bearer": "gate-malformed",
    "/a//b=bearer": "gate-malformed",
    "/a/../b=bearer": "gate-malformed",
    "/a/./b=bearer": "gate-malformed",
    "/a./b=bearer": "gate-malformed",
    "/..=bearer": "gate-malformed",
    "/%2e=bearer": "gate-malformed",
    "/a%2fb=bearer": "gate-malformed",
    "/a;b=bearer": "gate-malformed",
    "/a?b=bearer": "gate-malformed",
    "/a#b=bearer": "gate-malformed",
    "/a\\b=bearer": "gate-malformed",
    "/a*=bearer": "gate-malformed",
    "/*/a=bearer": "gate-malformed",
    "/a/**=bearer": "gate-malformed",
    "/ä=bearer": "gate-malformed",
    "/a b=bearer": "gate-malformed",
    "/a\n=bearer": "gate-malformed",
    "/x=" + "|".join(["bearer"] * 9): "gate-malformed",
    "basic:a+b": "gate-unknown",
    "bearer:": "gate-malformed",
    "link:x": "gate-malformed",
    "mtls": "gate-malformed",
    "mtls:/ca.pem": "gate-malformed",
    "mtls:env:CA": "gate-malformed",
    "mtls:file:ca.pem": "gate-malformed",
    "mtls:file:/ca.pem,alice": "gate-malformed",
    "mtls:file:/ca.pem,name=": "gate-malformed",
    "mtls:file:/ca.pem," + ",".join(f"name=n{n}" for n in range(33)): "gate-malformed",
    "signature": "gate-malformed",
    "signature:gitlab": "gate-malformed",
    "signature:github,hunter2": "gate-malformed",
    "signature:github,env:1X": "gate-malformed",
    "signature:github,file:rel": "gate-malformed",
    "signature:github," + ",".join(f"env:V{n}" for n in range(5)): "gate-malformed",
    "jwt": "gate-malformed",
    "jwt:https://id.example.com": "gate-malformed",
    "jwt:http://id.example.com,aud=a": "gate-malformed",
    "jwt:https://u:p@id.example.com,aud=a": "gate-malformed",
    "jwt:https://id.example.com/?x=1,aud=a": "gate-malformed",
    "jwt:https://id.example.com,aud=": "gate-malformed",
    "jwt:https://id.example.com,aud=a,alg=HS256": "gate-malformed",
    "jwt:https://id.example.com,aud=a,alg=none": "gate-malformed",
    "jwt:https://id.example.com,aud=a,alg=ES256K": "gate-malformed",
    "jwt:https://id.example.com,aud=a,leeway=301": "gate-malformed",
    "jwt:https://id.example.com,aud=a,leeway=-1": "gate-malformed",
    "jwt:https://id.example.com,aud=a,jwks=http://keys.example.com": "gate-malformed",
    "jwt:https://id.example.com,aud=a,jwks=file:keys": "gate-malformed",
    "jwt:https://id.example.com,aud=a,iss=b": "gate-malformed",
    "acme": "gate-unknown",
    "acme.": "gate-unknown",
    ".acme": "gate-unknown",
    "Acme.badge": "gate-unknown",
    "acme.badge:": "gate-malformed",
    "acme.badge:a b": "gate-malformed",
}


@pytest.mark.parametrize(("text", "code"), BAD_GATES.items())
def test_what_follows_no_grammar_is_refused_with_its_code(text: str, code: str) -> None:
    with pytest.raises(UnderpassError) as caught:
        parse_gates([text])
    assert caught.value.code == code
    assert caught.value.exit_code == 2
    assert "hunter2" not in f"{caught.value}{caught.value.to_dict()}"


BAD_SETS = {
    "--gate /x=bearer --gate /x=basic": "gate-conflict",
    "--gate /x=bearer --gate /X=basic": "gate-conflict",
    "--gate /x=bearer --gate /x/=basic": "gate-conflict",
    "--gate /x,/x=bearer": "gate-conflict",
    "--gate '/x/*=bearer' --gate '/X/*=basic'": "gate-conflict",
    "--gate /x=open": "gate-conflict",
    "--gate /x=open --gate /y=open": "gate-conflict",
    "--gate '/*=open' --gate /x=bearer": "gate-conflict",
    "--gate 'bearer|basic' --gate ip:10.0.0.0/8": "gate-conflict",
    "--gate 'bearer|basic' --gate 'bearer|link'": "gate-conflict",
    "--gate 'bearer|basic' --public --for 30m": "gate-conflict",
    "--gate bearer --public --for 30m": "gate-conflict",
    "--gate bearer+basic": "gate-conflict",
    "--gate /x=bearer+basic": "gate-conflict",
    "--gate '/x=jwt:https://i.example,aud=a+oauth'": "gate-conflict",
    "--gate /x=bearer+bearer": "gate-conflict",
    "--gate /x=basic:al --gate /y=basic:bob": "gate-conflict",
    "--gate /x=oauth --gate /y=oauth:origin": "gate-conflict",
    "--gate /x=ip:0.0.0.0/1 --gate /y=ip:128.0.0.0/1": "gate-conflict",
    "--gate mtls:file:/ca.pem": "gate-needs",
    "--gate /x=mtls:file:/ca.pem --gate bearer": "gate-needs",
    "--tls passthrough --gate /x=mtls:file:/a.pem --gate /y=mtls:file:/b.pem": "gate-conflict",
    "--gate " + " --gate ".join(f"/p{n}=bearer" for n in range(65)): "gate-conflict",
}


@pytest.mark.parametrize(("words", "code"), BAD_SETS.items())
def test_what_cannot_stand_together_is_refused_with_its_code(words: str, code: str) -> None:
    with pytest.raises(UnderpassError) as caught:
        parse_spec(f"3001 {words}").validate()
    assert caught.value.code == code


@pytest.mark.parametrize(
    "gate", ["/x=bearer", "bearer|ip:10.0.0.0/8", "jwt:https://i.example,aud=a"]
)
def test_a_tcp_tunnel_takes_no_rules(gate: str) -> None:
    with pytest.raises(UnderpassError) as caught:
        parse_spec(f"tcp://localhost:5432 --gate '{gate}'").validate()
    assert caught.value.code == "gate-unsupported"


@pytest.mark.parametrize(
    "words",
    [
        "--gate '/mcp=oauth' --gate '/hooks/*=signature:github' --gate '/healthz=open'",
        "--gate 'ip:10.0.0.0/8+bearer|basic:alice'",
        "--gate '/admin/*=bearer' --public --for 30m",
        "--gate bearer --gate '/x=basic'",
        "--gate '/*=bearer' --gate '/a/*=open' --gate '/a/b=basic'",
        "--tls passthrough --gate '/x=mtls:file:/ca.pem|bearer'",
        "--gate '/x=acme.badge:blue'",
    ],
)
def test_rules_that_fit_are_whole_and_written_back(words: str) -> None:
    spec = parse_spec(f"3001 {words}")
    spec.validate()
    assert parse_spec(str(spec)) == spec


def test_rules_alone_need_no_gate_beside_them_and_none_is_added() -> None:
    spec = parse_spec("3001 --gate /x=basic")
    assert spec.gates == ()
    assert spec.gate_texts == ("/x=basic",)
    assert spec.every_gate == (GateSpec("basic"),)
    kept = parse_spec("3001 --gate bearer --gate /x=basic")
    assert "--gate bearer" in str(kept)


def test_the_relays_coarse_rule_is_for_tunnels_without_rules() -> None:
    assert parse_spec("3001 --gate ip:10.0.0.0/8").cidrs == ("10.0.0.0/8",)
    assert parse_spec("3001 --gate ip:10.0.0.0/8 --gate /x=open").cidrs == ()
    assert parse_spec("3001 --gate 'ip:10.0.0.0/8|bearer'").cidrs == ()


ATOMS = st.sampled_from(
    ["bearer", "basic:al", "link", "ip:10.0.0.0/8,2001:db8::/32", "oauth", "signature:slack"]
)
CHOICES = st.lists(
    st.lists(ATOMS, min_size=1, max_size=3).map("+".join), min_size=1, max_size=3
).map("|".join)
PATTERNS = st.lists(
    st.lists(st.sampled_from(["a", "B", "c-d", "x.y", "~u"]), max_size=3)
    .map(lambda parts: "/" + "/".join(parts))
    .flatmap(lambda path: st.sampled_from([path, path.rstrip("/") + "/*"])),
    min_size=1,
    max_size=3,
).map(",".join)
RULES = st.builds(lambda paths, what: f"{paths}={what}", PATTERNS, CHOICES | st.just("open"))


@given(st.lists(st.one_of(RULES, CHOICES), max_size=4), st.booleans())
def test_any_gates_read_back_the_same(texts: list[str], public: bool) -> None:
    gates, rules = parse_gates(texts)
    spec = TunnelSpec(parse_spec("3001").origin, gates=gates, rules=rules, public=public)
    assert parse_spec(str(spec)) == spec


def refusal(text: str) -> UnderpassError | None:
    try:
        parse_gates([text])
    except UnderpassError as error:
        return error
    return None


@given(st.text(max_size=40))
def test_any_text_is_gates_or_a_clear_error(text: str) -> None:
    error = refusal(text)
    assert error is None or (error.exit_code == 2 and error.message.startswith("cannot "))
