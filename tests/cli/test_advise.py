"""``underpass advise``: what it prints, what it finds here, and what it refuses to read."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime

import pytest

from underpass.cli.commands import advise_here
from underpass.cli.commands.advise_here import look
from underpass.cli.main import main
from underpass.decide.here import Found


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
   why     its agent shows and replays requests on 127.0.0.1
           ngrok is here
           a credential for ngrok is here
           a public HTTPS name within a minute, with an inspector
   against set-up takes 30 s of a short need
   visitor https://YOUR-DEV-DOMAIN; browsers get a warning page first, which programs avoid with the
             header ngrok-skip-browser-warning
   gate    restrict-ips in a traffic policy
   limits  underpass does not drive ngrok yet: these are the vendor's own commands, without our
             gates and proofs; one curl proves little, so test logins, streams and sizes too
           gates belong into a traffic policy; --oauth, --basic-auth and --cidr-allow are deprecated
           the inspector takes port 4040 or a free one after it, and keeps bodies and Authorization
             headers: for long streams or secrets, add --inspect=false
           its own SDK did not notice a frozen edge within 12 s when measured: probe the public
             address
           1 GB transferred out a month (as of 2026-08-07)
           20 000 HTTP requests a month (as of 2026-08-07)
           4 000 requests a minute (as of 2026-08-07)
           3 endpoints online at once (as of 2026-08-07)
           3 agents at once (as of 2026-08-07)
           5 rules a traffic policy (as of 2026-08-07)
           1 assigned domain, which stays the same (as of 2026-08-07)
   set-up  about 30s
   run     write ngrok-policy.yml (mode 600)
             | on_http_request:
             |   - actions:
             |       - type: restrict-ips
             |         config:
             |           enforce: true
             |           allow:
             |             - CIDR
           ngrok http http://127.0.0.1:3001 --traffic-policy-file ngrok-policy.yml   # with \
NGROK_AUTHTOKEN set
   undo    Ctrl-C ends the command, and with it the tunnel
           ngrok api tunnel-sessions stop ID   # with NGROK_API_KEY set; from elsewhere, with an \
id of `ngrok api tunnel-sessions list`; there is no `ngrok api tunnels delete`

also fit: ngrok-paid
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
   set-up  about 5m
   run     [beside the service] underpass open tcp://db:5432 --name NAME --relay \
https://r.example.com --for 8h --token-file visitors-token   # the first time, with \
--enrol-token-file
           [where it is needed] underpass reach NAME --relay https://r.example.com --token-file \
visitors-token --listen 127.0.0.1:5432   # with the token file brought there by a safe way
   undo    [where it is needed] Ctrl-C ends `underpass reach`
           [beside the service] underpass close NAME

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
    ssh_words = ["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"]
    answer = json.loads(out)["answers"][0]
    assert answer.pop("limits")
    assert json.loads(out)["schema"] == "underpass/v1/advice-compact"
    assert answer == {
        "engine": "ssh-service",
        "way": "localhost-run",
        "driven": False,
        "why": [
            "nothing to install and nobody to sign up with: ssh is there",
            "ssh is here",
            "a public HTTPS name from any machine that has ssh",
        ],
        "visitor": "https://SOME-ID.lhr.life, which changes when the link is made again",
        "gate": "none: whoever learns the address gets in",
        "setup_s": 10,
        "run": [
            {
                "argv": [
                    *("ssh", "-T", "-o", "ExitOnForwardFailure=yes", *ssh_words),
                    *("-R", "80:127.0.0.1:3001", "nokey@localhost.run"),
                ],
                "note": "the address is in the line with `tunneled`",
            }
        ],
        "undo": [{"note": "Ctrl-C ends the command, and with it the tunnel"}],
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


def test_programs_are_asked_for_their_versions_and_variables_are_seen_by_name(path):
    path("ngrok", "echo ngrok version 3.22.0")
    path("ssh", "echo OpenSSH_9.2p1 Debian >&2")
    path("bore", "echo bore version 0.1.11")
    path("wg", "exit 1")
    path("cloudflared", "exec /no/such/interpreter")
    environ = {
        "PATH": os.environ["PATH"],
        "TS_AUTHKEY": "tskey-SECRET",
        "NGROK_AUTHTOKEN": "",
        "UNDERPASS_OPEN__RELAY": "https://relay.example.com",
    }
    here = look(environ)
    assert here.looked
    assert here.programs == (
        Found("ngrok", "3.22.0"),
        Found("cloudflared"),
        Found("bore", why_not="another product of the same name"),
        Found("ssh", "9.2"),
        Found("wg"),
    )
    assert here.accounts == {"tailscale"}
    assert here.own_server is True
    assert "SECRET" not in repr(here)


def test_a_program_that_hangs_does_not_hold_advice_up(path, monkeypatch):
    monkeypatch.setattr(advise_here, "SECONDS", 0.2)
    path("ngrok", "exec /bin/sleep 60")
    path("tailscale", "exec /bin/sleep 60")
    started = time.monotonic()
    here = look(dict(os.environ))
    assert time.monotonic() - started < 5
    assert here.programs == (Found("ngrok"), Found("tailscale"))


def test_a_file_that_cannot_be_started_is_as_good_as_not_there(path, at_home):
    path("bore", "")
    (at_home / "programs" / "bore").write_bytes(b"\x7fELF-not-really")
    assert look(dict(os.environ)).programs == ()


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
    assert "note: say how visitors show who they are" in err
    assert "note:" not in out
    # localhost.run's pages were read in 2023.
    assert ("localhost-run-name" in err) is (datetime.now(UTC).year > 2023)
