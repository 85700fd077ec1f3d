"""What of a tunnel is looked at: what stands open, and nothing else."""

from __future__ import annotations

import pytest

from underpass.guard.preflight.openness import Openness, openness_of
from underpass.model.gate_rules import parse_gates
from underpass.model.origin import parse_origin
from underpass.model.spec import TunnelSpec

pytestmark = pytest.mark.pure


def of(*gates: str, origin: str = "3001", public: bool = False) -> Openness:
    plain, rules = parse_gates(gates)
    return openness_of(TunnelSpec(parse_origin(origin), gates=plain, rules=rules, public=public))


def test_a_tunnel_with_gates_everywhere_is_not_looked_at():
    assert not of().is_any
    assert not of("bearer", "/hooks/*=signature:github").is_any
    assert not of("ip:203.0.113.0/24", origin="tcp://localhost:5432").is_any
    assert not of(origin="tcp://localhost:5432").is_any


def test_in_public_everything_is():
    assert of(public=True) == Openness(bases=("",))
    assert of("/admin/*=bearer", public=True) == Openness(bases=("",))
    assert of(origin="tcp://localhost:5432", public=True) == Openness(bytes=True)


def test_open_rules_name_prefixes_and_single_paths():
    assert of("bearer", "/files/*,/healthz=open") == Openness(("/files",), ("/healthz",))
    assert of("/docs/*=open", public=True) == Openness(("", "/docs"))


def test_what_the_origins_own_oauth_alone_guards_is_looked_at_with_a_token():
    assert of("oauth:origin") == Openness(("",), any_token=True)
    assert of("bearer", "/mcp=oauth:origin") == Openness((), ("/mcp",), any_token=True)
    assert of("bearer", "/x/*=basic|oauth:origin") == Openness(("/x",), any_token=True)


def test_with_another_gate_beside_it_it_is_not():
    assert not of("oauth:origin", "ip:203.0.113.0/24").is_any
    assert not of("bearer", "/mcp=oauth:origin+ip:203.0.113.0/24").is_any
    assert not of("oauth").is_any


def test_the_number_of_prefixes_is_bounded():
    many = ",".join(f"/p{number}/*" for number in range(20))
    assert len(of("bearer", f"{many}=open").bases) == 4
