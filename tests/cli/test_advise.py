"""``underpass advise``: what it prints, what it finds here, and what it refuses to read."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from underpass.api.discovery import Found as Opened
from underpass.api.discovery import Survey
from underpass.api.places import state_dir
from underpass.cli.commands import advise_here
from underpass.cli.commands.advise import shipped_quotas
from underpass.cli.commands.advise_here import left, look, measured
from underpass.cli.main import main
from underpass.decide.here import Foreign, Found, Here
from underpass.observe.quota import month_of
from underpass.observe.schema import FILE, connect


@pytest.fixture
def path(at_home, monkeypatch):
    """An empty path, and a way to put programs on it."""
    programs = at_home / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    for name in ("NGROK_AUTHTOKEN", "CLOUDFLARE_API_TOKEN", "TUNNEL_TOKEN", "TS_AUTHKEY"):
        monkeypatch.delenv(name, raising=False)

    def put(name, script):
        program = programs / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return put


@pytest.fixture
def advised(path, capsys):
    """Run the command, and give back what it printed."""

    def run(*words):
        code = main(["advise", *words])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


INSPECT = """\
1. ngrok-free: ngrok, free plan
   why     up in half a minute under a name that stays, so that what was registered once keeps
             coming, to be looked at and replayed
           ngrok is here
           a credential for ngrok is here
           a public HTTPS name within a minute, which stays the same
   against set-up takes 30 s of a short need
   visitor https://YOUR-DEV-DOMAIN; browsers get a warning page first, which programs avoid with \
the
             header ngrok-skip-browser-warning
   gate    --gate ip:CIDR
   limits  its edge flags --oauth, --basic-auth and --cidr-allow are deprecated: gates of ours, \
or a
             traffic policy
           agents 3.16 or later, or the Python SDK; the agent's own API takes a free loopback port
             (not 4040), and its store of requests stays off: `underpass requests` shows them
           measured 2026-11-23 with its SDK 1.4.0, an edge of our own: live after 0.3 s, a frozen
             far end noticed after 7.9 s, live again 0.3 s after its return
           1 GB transferred out a month (as of 2026-08-07)
           20 000 HTTP requests a month (as of 2026-08-07)
           4 000 requests a minute (as of 2026-08-07)
           3 endpoints online at once (as of 2026-08-07)
           3 agents at once (as of 2026-08-07)
           1 assigned domain, which stays the same (as of 2026-08-07)
   set-up  about 30s
   run     underpass open 3001 --name NAME --engine ngrok --gate ip:CIDR --for 1h   # with \
NGROK_AUTHTOKEN set; prints the address once a proof has passed
           underpass requests NAME --follow   # and `underpass replay ID` sends one to the origin \
again
   undo    underpass close NAME   # or Ctrl-C where it was opened; nothing is left at ngrok
           ngrok api tunnel-sessions stop ID   # with NGROK_API_KEY set; from elsewhere, with an \
id of `ngrok api tunnel-sessions list`; there is no `ngrok api tunnels delete`

also fit: ngrok-paid, cloudflare-quick, pinggy, cloudflare-named, tailscale-funnel, relay
"""


def test_people_get_the_best_ways_whole(path, advised, monkeypatch):
    path("ngrok", "echo ngrok version 3.22.0")
    monkeypatch.setenv("NGROK_AUTHTOKEN", "2abcSECRET")
    code, out, _ = advised("3001", "--for", "1h", "--inspect", "--auth", "ip", "--top", "1")
    assert code == 0
    assert out == INSPECT


REACH = """\
1. relay-reach: our relay with `underpass reach`, no public port
   why     exchanges in progress outlive a lost link by a minute, no byte lost
           no public port at all: the token is asked before the database is dialled
           a TCP service for those who hold a token, with no public port
   visitor a local port, made by `underpass reach` with the token; strangers find no port
   gate    the token of the tunnel, shown by `underpass reach`
   limits  each visitor runs `underpass reach`
           its lease always ends, at the latest after 366 days: renew it with `underpass renew`
           measured 2026-11-23 with underpass 0.1.0: live after 0.1 s, a frozen far end noticed
             after 8.9 s, live again 0.9 s after its return
   set-up  about 5m
   run     [beside the service] underpass open tcp://db:5432 --name NAME --relay \
https://r.example.com --gate bearer --for 8h --token-file visitors-token   # the first time, with \
--enrol-token-file
           [where it is needed] underpass reach NAME --relay https://r.example.com --token-file \
visitors-token --listen 127.0.0.1:5432   # with the token file brought there by a safe way
   undo    [where it is needed] Ctrl-C ends `underpass reach`
           [beside the service] underpass close NAME
           [where it is needed] delete visitors-token where it was brought

also fit: tailscale-serve, wireguard
"""


def test_our_own_engine_is_told_without_the_vendors_caveat(advised):
    words = ("tcp://db:5432", "--task", "reach", "--database", "--resumable")
    code, out, err = advised(*words, "--relay", "https://r.example.com", "--top", "1")
    assert (code, out, err) == (0, REACH, "")


def test_a_boundary_is_an_answer(advised):
    assert advised("--task", "dns") == (
        0,
        "no tunnel for this: a tunnel uses names and does not manage zones\n"
        "use: the zone's provider, by OctoDNS, DNSControl or Terraform\n",
        "",
    )


def test_what_nothing_keeps_is_told_with_what_is_nearest(advised):
    code, out, _ = advised("--traffic", "udp")
    assert code == 0
    assert out == (
        "nothing fits: no way that is known keeps every constraint\n"
        "nearest: without audience: tailscale-serve, wireguard\n"
    )


def test_an_agent_gets_the_best_as_one_compact_line(path, advised):
    path("ssh", "echo OpenSSH_9.2p1 Debian >&2")
    code, out, err = advised(
        "3001",
        "--for",
        "1h",
        "--no-install",
        "--no-signup",
        "--auth",
        "none",
        "--for-agent",
        "--top",
        "1",
    )
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    answer = json.loads(out)["answers"][0]
    assert answer.pop("limits")
    assert json.loads(out)["schema"] == "underpass/v1/advice-compact"
    assert answer == {
        "engine": "ssh-service",
        "way": "localhost-run",
        "driven": True,
        "why": [
            "nothing to install and nobody to sign up with: ssh is there",
            "ssh is here",
            "a public HTTPS name from any machine that has ssh",
        ],
        "visitor": "https://SOME-ID.lhr.life, which changes when the link is made again",
        "gate": "--public, for at most 1 h",
        "setup_s": 10,
        "run": [
            {
                "argv": [
                    *("underpass", "open", "3001", "--name", "NAME"),
                    *("--via", "ssh-service:nokey@localhost.run", "--engine-option", "trust=new"),
                    *("--public", "--for", "1h"),
                ],
                "note": "learns the service's host key once; prints the address once a proof has "
                "passed",
            }
        ],
        "undo": [
            {
                "argv": ["underpass", "close", "NAME"],
                "note": "or Ctrl-C where it was opened; nothing is left at localhost.run",
            }
        ],
        "instead": [
            {
                "argv": [
                    *("ssh", "-T", "-o", "ExitOnForwardFailure=yes"),
                    *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"),
                    *("-R", "80:127.0.0.1:3001", "nokey@localhost.run"),
                ],
                "note": "the address is in the line with `tunneled`",
            }
        ],
    }


def test_json_tells_the_need_every_answer_and_why_the_others_do_not_fit(advised):
    code, out, err = advised("mcp+http://localhost:3001/mcp", "--own-domain", "--json")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert told["schema"] == "underpass/v1/advice"
    assert told["need"] == {
        "seconds": 28_800,
        "task": "expose",
        "traffic": "mcp",
        "audience": "public",
        "own_domain": True,
    }
    ways = [answer["way"] for answer in told["answers"]]
    assert set(ways) == {"cloudflare-named", "relay", "ngrok-paid"}
    unfit = {one["way"]: [b["rule"] for b in one["broken"]] for one in told["unfit"]}
    assert unfit["ngrok-free"] == ["own-domain"]
    assert not set(ways) & unfit.keys()
    quotas = told["answers"][ways.index("cloudflare-named")]["quotas"]
    assert {"measure", "amount", "as_of", "source", "basis"} <= quotas[0].keys()
    assert told["boundary"] is None


def test_a_boundary_is_an_object_too(advised):
    for form in ("--json", "--for-agent"):
        told = json.loads(advised("--task", "media-streaming", form)[1])
        assert told["boundary"]["code"] == "media-streaming"


@pytest.fixture
def quotas():
    return shipped_quotas()


def test_engines_are_found_by_their_drivers_and_variables_are_seen_by_name(path, quotas):
    path("ngrok", "echo ngrok version 3.22.0")
    path("ssh", "echo OpenSSH_9.2p1 Debian >&2")
    path("bore", "echo bore version 0.1.11")
    path("cloudflared", "echo cloudflared version 2026.7.3 '(built 2026-07-20-1000 UTC)'")
    environ = {
        **os.environ,
        "TS_AUTHKEY": "tskey-SECRET",
        "NGROK_AUTHTOKEN": "",
        "UNDERPASS_OPEN__RELAY": "https://relay.example.com",
    }
    here = look(environ, quotas)
    assert here.looked
    found = {one.program: one for one in here.programs}
    assert found["ngrok"] == Found("ngrok", "3.22.0")
    assert found["ssh"] == Found("ssh", "9.2")
    assert found["cloudflared"] == Found("cloudflared", "2026.7.3")
    assert "bore" not in found  # its driver has a client of its own
    assert here.accounts == {"tailscale"}
    assert here.own_server is True
    assert "SECRET" not in repr(here)


def test_a_program_that_its_driver_refuses_does_not_count(path, quotas):
    path("cloudflared", "echo cloudflared version 2020.1.0")
    here = look(dict(os.environ), quotas)
    assert here.find("cloudflared") is None
    assert next(one.why_not for one in here.programs if one.program == "cloudflared")


def test_a_program_that_hangs_does_not_hold_advice_up(path, quotas, monkeypatch):
    monkeypatch.setattr(advise_here, "SECONDS", 0.3)
    path("cloudflared", "exec /bin/sleep 60")
    path("ssh", "exec /bin/sleep 60")
    started = time.monotonic()
    said: list[str] = []
    here = look(dict(os.environ), quotas, said.append)
    assert time.monotonic() - started < 10
    assert "cloudflare" in said[0]
    assert "ssh-service" in said[0]
    # Neither here nor not here: nobody said so in time.
    assert {"cloudflared", "ssh"} & {one.program for one in here.programs if one.version} == set()


def test_a_file_that_cannot_be_started_does_not_count(path, at_home, quotas):
    path("cloudflared", "")
    (at_home / "programs" / "cloudflared").write_bytes(b"\x7fELF-not-really")
    assert look(dict(os.environ), quotas).find("cloudflared") is None


def open_tunnel(name, engine, ok, layer=None):
    verdict = {"ok": ok, "layer": layer}
    return Opened(Path("x.sock"), {"name": name, "engine": engine, "verdict": verdict})


@pytest.mark.parametrize(
    ("tunnels", "healthy"),
    [
        ([open_tunnel("tools", "ngrok", True)], True),
        ([open_tunnel("tools", "ngrok", False, "relay")], False),
        # That the origin is away is no fault of its engine.
        ([open_tunnel("tools", "ngrok", False, "origin")], True),
        ([open_tunnel("bad", "ngrok", False, "tls"), open_tunnel("good", "ngrok", True)], False),
    ],
    ids=["live", "dead", "origin", "both"],
)
def test_verdicts_of_open_tunnels_are_measured_health(tunnels, healthy):
    here = Here(measured=measured(Survey(found=tunnels)))
    assert here.health_of("ngrok").healthy is healthy
    assert measured(Survey(found=[Opened(Path("x"), {"engine": "ngrok", "verdict": None})])) == ()


def test_what_the_meter_counted_is_taken_from_the_vendor_s_quota(at_home, quotas):
    now = 1_795_000_000.0
    path = state_dir(os.environ) / FILE
    path.parent.mkdir(parents=True, mode=0o700)
    connection = connect(path)
    with connection:
        connection.execute(
            "INSERT INTO usage (tunnel, month, bytes_up, bytes_down, requests) "
            "VALUES ('tools', ?, 5, 400, 30)",
            (month_of(now),),
        )
    connection.close()
    seen = Survey(found=[open_tunnel("tools", "ngrok", True), open_tunnel("x", "relay", True)])
    others = [Foreign("ngrok", "pid 812", "http://localhost:3001")]
    known = {one.quota: one.amount for one in left(seen, others, os.environ, quotas, now)}
    assert known == {
        "ngrok-free-transfer": 10**9 - 400,
        "ngrok-free-requests": 20_000 - 30,
        "ngrok-free-endpoints": 3 - 2,
    }
    assert left(Survey(), [], os.environ, quotas, now) == ()


@pytest.mark.parametrize(
    "words",
    [
        ("--via", "-oProxyCommand=touch /tmp/x"),
        ("--via=-oProxyCommand=x",),
        ("--via", "host;reboot"),
        ("--via", "a@b@c"),
        ("--hostname", "-x.example.com"),
        ("--hostname", "a b"),
        ("--hostname", "$(reboot).example.com"),
        ("--relay", "ftp://relay.example.com"),
        ("--relay", "https://-relay"),
        ("--relay", "https://user:password@relay.example.com"),
        ("--left", "ngrok-free-transfer=many"),
        ("--left", "nothing=3"),
        ("--measured", "ngrok=maybe"),
        ("--measured", "frp=ok"),
        ("--payload", "20 stones"),
        ("--payload", "-1"),
        ("--machines", "0"),
        ("--for", "soon"),
        ("--task", "teleport"),
        ("https://localhost:3001",),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_refused(words, advised):
    code, out, err = advised(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error[")


def test_an_error_is_an_object_for_an_agent(advised):
    code, out, _ = advised("--for-agent", "--for", "soon")
    assert code == 2
    assert json.loads(out)["error"]["code"] == "duration-invalid"


@pytest.mark.parametrize(
    ("text", "number"), [("500", 500), ("20MB", 20_000_000), ("4GiB", 2**32), ("1 kb", 1000)]
)
def test_sizes_are_read(text, number, advised):
    told = json.loads(advised("--payload", text, "--json")[1])
    assert told["need"]["payload_bytes"] == number


def test_what_is_known_besides_is_weighed(advised):
    def ways(*words):
        return [one["way"] for one in json.loads(advised("--json", *words)[1])["answers"]]

    assert "ngrok-free" not in ways("--left", "ngrok-free-requests=0")
    assert ways("--machines", "2", "--measured", "tailscale=failing")[0] == "wireguard"
    assert "relay" not in ways("--no-own-server")
    assert ways("--task", "reach", "--via", "me@host")[0] == "ssh-local"
    assert "ssh-local" not in ways("--task", "reach", "--no-ssh-login")
    assert ways("--for", "permanent", "--hostname", "a.example.com")[0] == "cloudflare-named"


def test_old_quotas_are_noted_beside_the_result(advised):
    _, out, err = advised("--for", "1h")
    assert "note: say who comes (--visitor) and how they show it (--auth)" in err
    assert "note:" not in out
    # localhost.run's pages were read in 2023.
    assert ("localhost-run-name" in err) is (datetime.now(UTC).year > 2023)
