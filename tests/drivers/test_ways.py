"""Whose quotas bind a tunnel: each driver knows its way, and the advice knows the same ones."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from underpass.decide.quotas import parse_quotas
from underpass.decide.ways import WAYS
from underpass.drivers.base import KnowsItsWay
from underpass.drivers.plans import Site
from underpass.drivers.registry import BUILT_IN, load
from underpass.model.spec import parse_spec

QUOTAS = parse_quotas((files("underpass.decide") / "quotas.toml").read_text("utf-8"))


@pytest.mark.parametrize(
    ("engine", "options", "way"),
    [
        ("ngrok", {}, "ngrok-free"),
        ("ngrok", {"account": "paid"}, ""),
        ("ngrok", {"server": "edge.example.com:443"}, ""),
        ("cloudflare", {}, "cloudflare-quick"),
        ("cloudflare", {"quick-service": "https://edge.example.com"}, ""),
        ("cloudflare", {"hostname": "a.example.com", "token-env": "T"}, "cloudflare-named"),
        ("tailscale", {}, "tailscale-serve"),
        ("tailscale", {"share": "funnel"}, "tailscale-funnel"),
        ("tailscale", {"daemon": "private", "login-server": "https://hs.example.com"}, ""),
        ("bore", {"via": "bore.pub"}, "bore-pub"),
        ("bore", {"via": "bore.example.com"}, ""),
        ("ssh-service", {"via": "nokey@localhost.run"}, "localhost-run"),
        ("ssh-service", {"via": "localhost.run", "identity": "/home/ann/.ssh/id"}, ""),
        ("ssh-service", {"via": "a.pinggy.io:443", "port": "0"}, "pinggy"),
        ("ssh-service", {"via": "a.pinggy.io:443", "token-env": "PINGGY"}, ""),
        ("ssh-service", {"via": "sish.example.com"}, ""),
    ],
)
def test_a_driver_knows_whose_quotas_bind(engine: str, options: dict[str, str], way: str) -> None:
    driver = load(engine)
    assert isinstance(driver, KnowsItsWay)
    spec = parse_spec("3001 --public")
    assert driver.way(spec, Site("shop", Path("/run/x"), options=options)) == way
    assert bool(way) == any(QUOTAS.of(way))


def test_every_engine_whose_ways_have_quotas_knows_them() -> None:
    bound = {way for fact in QUOTAS.facts for way in fact.ways}
    engines = {way.engine for way in WAYS if way.id in bound} & set(BUILT_IN)
    assert engines
    for engine in engines:
        assert isinstance(load(engine), KnowsItsWay), engine
