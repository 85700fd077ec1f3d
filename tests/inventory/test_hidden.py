"""Secrets among other people's words are known as such, and shown nowhere."""

from __future__ import annotations

import pytest

from underpass.inventory.hidden import clean, secrets_of

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    "words",
    [
        "ngrok http --authtoken hunter22 80",
        "ngrok http -authtoken=hunter22 80",
        "ngrok http --basic-auth=hunter22 80",
        "cloudflared tunnel run --token hunter22",
        "cloudflared tunnel --credentials-contents=hunter22 run",
        "bore local 80 --to bore.pub --secret hunter22",
        "bore local 80 --to bore.pub -s hunter22",
        "frpc tcp -t hunter22",
        "chisel client --auth hunter22 c:9",
        "tailscale up --auth-key=hunter22",
        "ssh -R0:localhost:80 hunter22+http@a.pinggy.io",
        "lt --host https://me:hunter22@lt.example",
    ],
)
def test_a_secret_is_found_by_what_stands_before_it(words: str) -> None:
    name, *_ = words.split()
    assert secrets_of(name, words.split()) == ["hunter22"]


@pytest.mark.parametrize(
    "words",
    [
        "cloudflared tunnel run --token-file /etc/token",
        "ssh -N -R 8080:localhost:80 user@host",
        "bore local 80 --to bore.pub --port 9000",
        "ssh -s host",
        "frpc -c frpc.toml",
    ],
)
def test_what_only_names_a_secret_is_none(words: str) -> None:
    assert secrets_of(words.split()[0], words.split()) == []


def test_nothing_that_is_shown_holds_a_secret_or_steers_a_terminal() -> None:
    assert clean("at hunter22\x1b[2J\n", ["hunter22"]) == "at [redacted]?[2J?"
    assert clean("http://me:hunter22@h", []) == "http://[redacted]@h"
