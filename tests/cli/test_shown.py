from __future__ import annotations

import re
from dataclasses import replace

import pytest
from underpass_tests_kept import NOON, KeptTunnel, verdict

from underpass.cli.commands.show import meter_notes, operator_notes
from underpass.cli.shown import change_line, remaining, tunnel_page, tunnels_table
from underpass.model.events import (
    InstanceSuperseded,
    LeaseEnded,
    LeaseRenewed,
    LinkLost,
    LinkRestored,
    ProofFailed,
    SignInWaiting,
    TunnelClosed,
)
from underpass.model.origin import Kind
from underpass.model.status import TunnelState
from underpass.model.verdict import Layer


def live(name: str):
    tunnel = KeptTunnel(name)
    tunnel.go_live()
    return tunnel.status()


def flat(status):
    facts = status.to_dict()
    return {**facts["tunnel"], "verdict": facts["verdict"]}


def test_the_table_of_tunnels():
    failing = replace(
        live("web"), state=TunnelState.FAILING, verdict=verdict(failed=Layer.LINK), gates=()
    )
    database = replace(live("database"), url=None, kind=Kind.TCP, verdict=None)
    opening = KeptTunnel("new").status()
    rows = [flat(status) for status in (live("tools"), failing, database, opening)]
    assert tunnels_table(rows, NOON + 60) == (
        "NAME      STATE           KIND  URL                              GATES   ENDS IN  OWNER\n"
        "tools     live            http  https://tools.relay.example.com  bearer  7h59m    alice\n"
        "web       failing (link)  http  https://web.relay.example.com    public  7h59m    alice\n"
        "database  live            tcp   (by underpass reach)             bearer  7h59m    alice\n"
        "new       proving         http  (not before the first proof)     bearer  7h59m    alice"
    )


def test_the_page_of_one_tunnel():
    facts = replace(live("tools"), verdict=verdict(failed=Layer.ORIGIN)).to_dict()
    assert tunnel_page(facts["tunnel"], facts["verdict"], NOON, ["  relay   ours"]) == (
        "tools is live\n"
        "  url     https://tools.relay.example.com\n"
        "  kind    http\n"
        "  gates   bearer\n"
        "  lease   until 2026-11-22 20:00:00 UTC (in 8h), owner alice, for demo\n"
        "  engine  relay\n"
        "  proof failed (origin), seen from here at 2026-11-22 12:00:00 UTC\n"
        "    name       passed  1 ms\n"
        "    tls        passed  1 ms\n"
        "    relay      passed  1 ms\n"
        "    link       passed  1 ms\n"
        "    gatehouse  passed  1 ms\n"
        "    gate       passed  1 ms\n"
        "    origin     failed        origin-refused: connection refused\n"
        "  relay   ours"
    )


def test_the_page_of_a_tunnel_lists_its_rules():
    gates = ("bearer", "/hooks/*=signature:github", "/healthz=open")
    facts = replace(live("tools"), gates=gates).to_dict()["tunnel"]
    page = tunnel_page(facts, None, NOON, [])
    assert (
        "  gates   bearer\n  rule    /hooks/*=signature:github\n  rule    /healthz=open\n" in page
    )
    ruled = replace(live("tools"), gates=gates[1:]).to_dict()["tunnel"]
    assert "  gates   by path\n" in tunnel_page(ruled, None, NOON, [])
    public = replace(live("tools"), gates=("public", "/admin/*=bearer")).to_dict()["tunnel"]
    assert "  gates   public\n  rule    /admin/*=bearer\n" in tunnel_page(public, None, NOON, [])


def test_every_change_has_its_line():
    status = live("tools")
    changes = [
        ProofFailed(NOON, Layer.LINK, "connector-away", verdict(failed=Layer.LINK)),
        LinkLost(NOON, "reset by peer"),
        LinkRestored(NOON, 3.25),
        LeaseRenewed(NOON, NOON + 7200),
        LeaseEnded(NOON, idle=True),
        LeaseEnded(NOON, idle=False),
        InstanceSuperseded(NOON),
        SignInWaiting(NOON, "BCDF-____", "É\n", "a program"),
        TunnelClosed(NOON, "asked"),
    ]
    failing = replace(status, verdict=verdict(failed=Layer.LINK))
    lines = [change_line(change.to_dict(failing)) for change in changes]
    assert lines == [
        "12:00:00 UTC  failing        link: origin-refused: connection refused",
        "12:00:00 UTC  link-lost      reset by peer",
        "12:00:00 UTC  link-restored  after 3.2 s",
        "12:00:00 UTC  lease-renewed  until 2026-11-22 14:00:00 UTC",
        "12:00:00 UTC  lease-ended    no visitor for the idle limit",
        "12:00:00 UTC  lease-ended    its hard end is reached",
        "12:00:00 UTC  superseded",
        '12:00:00 UTC  sign-in        "\\u00c9\\n" asks to be let in; its browser shows a code '
        "BCDF-____",
        "12:00:00 UTC  closed         asked",
    ]


RELAY = "https://relay.example.com"


@pytest.mark.parametrize(
    ("kind", "carriage", "words"),
    [
        ("http", {"embedded": True}, "in this process: nobody else sees what passes"),
        ("http", {"tls": "passthrough"}, "its operator can only refuse, delay and misreport"),
        ("http", {"tls": "terminate"}, "could read and replay what passes, credentials included"),
        ("tcp", {"tls": "terminate"}, "could read and replay a visitor's token"),
    ],
)
def test_what_the_relay_s_operator_can_do_is_said_plainly(kind, carriage, words):
    notes = " ".join(operator_notes(kind, {"relay": RELAY, **carriage}))
    assert words in re.sub(r"\s+", " ", notes)


def test_of_an_engine_of_others_its_own_plan_is_told_and_no_relay():
    told = {"visitors": "an address that localhost.run gives", "limits": ["it reads what passes"]}
    assert operator_notes("http", {"relay": None, **told}) == [
        "  way     an address that localhost.run gives",
        "          it reads what passes",
    ]
    assert operator_notes("http", {"relay": None}) == []


def test_what_remains_is_told_to_the_minute_and_never_below_nothing():
    assert remaining(NOON + 28_800, NOON) == "8h"
    assert remaining(NOON + 28_799, NOON) == "7h59m"
    assert remaining(NOON + 59, NOON) == "59s"
    assert remaining(NOON, NOON + 10) == "0s"


def test_a_vendors_quotas_are_shown_with_an_alarm_and_its_other_limits_as_not_counted():
    meter = {
        "requests": 7,
        "bytes_up": 0,
        "bytes_down": 0,
        "p50_ms": None,
        "dropped": 0,
        "quotas": [
            {"what": "requests-in-flight", "used": 160, "limit": 200, "whose": "cloudflare-quick"}
        ],
        "uncounted": [
            {
                "what": "body-bytes",
                "says": "100 MB a request body",
                "basis": "vendor-page",
                "whose": "cloudflare-quick",
                "as_of": "2026-11-01",
                "source": "https://…",
            }
        ],
    }
    assert meter_notes(meter)[1:] == [
        "  quota   160 of 200 requests-in-flight of cloudflare-quick, 80% (!)",
        "  limit   100 MB a request body (cloudflare-quick, 2026-11-01): not counted here",
    ]
