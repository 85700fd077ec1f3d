"""The whole grid of needs, and the commands of ours that the advice answers them with."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache

from underpass.decide.need import HOUR, Audience, Auth, Names, Need, Task, Traffic, Visitor
from underpass.decide.plans import plan
from underpass.decide.steps import Step
from underpass.decide.way import Way
from underpass.decide.ways import WAYS
from underpass.model.origin import parse_origin

FILLED = {
    "PORT": "3001",
    "CIDR": "203.0.113.0/24",
    "NAME": "tools",
    "SCHEME": "github",
    "ISSUER": "id.example.com",
    "AUDIENCE": "tools",
    "SERVER": "server.example.com",
    "JUMPBOX": "bastion.example.com",
    "USER": "me",
    "RELAY": "relay.example.com",
    "HOST.YOUR.DOMAIN": "tools.example.com",
    "YOUR.DOMAIN": "example.com",
    "/PATH/": "/etc/",
    "HUB": "hub.example.com",
    "YOUR-DEV-DOMAIN": "tools.ngrok-free.dev",
    "N.tcp.ngrok.io:PORT": "1.tcp.ngrok.io:20001",
}
"""What a reader puts in the place of the words in capitals."""

ORIGINS = {
    Traffic.HTTP: ("3001", "unix:///run/app.sock", "tcp://127.0.0.1:9"),
    Traffic.MCP: ("3001", "mcp+http://localhost:3001/mcp", "mcp+stdio:uvx server", "unix:///r/a"),
    Traffic.TCP: ("tcp://db:5432", "tcp+unix:///run/pg.sock", "3001"),
    Traffic.UDP: ("3001",),
}
SAID = {"hostname": "tools.example.com", "via": "me@host.example.com:2222"}


def fill(word: str) -> str:
    """The word as somebody types it who has read it."""
    # Longest first: HOST.YOUR.DOMAIN before YOUR.DOMAIN.
    for capital in sorted(FILLED, key=len, reverse=True):
        word = word.replace(capital, FILLED[capital])
    return word


def needs_of(one: Way) -> Iterator[Need]:
    """Every combination of what changes the commands of a way."""
    for task in sorted(one.tasks):
        for traffic in sorted(one.traffic):
            for auth in (None, *dict.fromkeys(gate.auth for gate in one.gates)):
                for visitor in (None, Visitor.BROWSER, Visitor.HOSTED_MCP, Visitor.WEBHOOK):
                    for seconds in (HOUR, None):
                        need = Need(
                            task=task, traffic=traffic, auth=auth, visitor=visitor, seconds=seconds
                        )
                        yield from _varied(need)


def _varied(need: Need) -> Iterator[Need]:
    more = dataclasses.replace(
        need, unattended=True, machines=3, inspect=True, audience=Audience.PRIVATE
    )
    if need.task is not Task.EXPOSE:
        yield dataclasses.replace(need, whole_network=True)
    yield need
    yield more
    for origin in ORIGINS[need.traffic]:
        relay = "https://relay.example.com"
        names = Names(origin=parse_origin(origin), relay=relay, **SAID)
        yield dataclasses.replace(need, names=names)
        yield dataclasses.replace(more, names=names)


def steps_of(need: Need, one: Way) -> Iterator[Step]:
    made = plan(one.id, need)
    yield from (*made.run, *made.undo, *made.instead)


@cache
def our_words() -> dict[tuple[str, ...], tuple[Way, Need]]:
    """Each different command of underpass that any way answers any need with, as it is typed."""
    found: dict[tuple[str, ...], tuple[Way, Need]] = {}
    for one in WAYS:
        for need in needs_of(one):
            offer = one.gate(need.auth, need) if need.auth else one.chosen(need)
            if offer is None or not offer.serves(need):
                continue  # the rules take this way away
            if need.auth is Auth.NONE and need.seconds != HOUR:
                continue
            for step in steps_of(need, one):
                lines = [step.argv] if step.argv[:1] == ("underpass",) else []
                lines += [
                    tuple(line.partition("/usr/bin/env ")[2].split())
                    for line in step.text.splitlines()
                    if " underpass " in line
                ]
                for words in lines:
                    found.setdefault(tuple(map(fill, words)), (one, need))
    return found
