"""A service's address is found in its words, and no other URL is taken for it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.drivers.observations import Carrying, Refusal
from underpass.drivers.ssh_service_reading import Announcements, domains_of

LHR = Announcements()


@pytest.mark.parametrize(
    ("line", "url"),
    [
        (
            "abc.lhr.life tunneled with tls termination, https://abc.lhr.life",
            "https://abc.lhr.life",
        ),
        (
            "\x1b[1mabc.lhr.life tunneled with tls termination, https://abc.lhr.life\x1b[0m\r",
            "https://abc.lhr.life",
        ),
        ("Forwarding HTTP traffic from https://x.serveo.net", "https://x.serveo.net"),
        (
            "Forwarding HTTP traffic from https://x-1.serveousercontent.com/",
            "https://x-1.serveousercontent.com",
        ),
        ("https://rnabc-1-2-3-4.a.free.pinggy.link", "https://rnabc-1-2-3-4.a.free.pinggy.link"),
        ("HTTPS: https://abc.serveo.net", "https://abc.serveo.net"),
        (
            "error-pages-not-found.lhr.life -> https://error-pages-not-found.lhr.life",
            "https://error-pages-not-found.lhr.life",
        ),
        ("http://abc.lhr.life https://abc.lhr.life", "https://abc.lhr.life"),
        (json.dumps({"address": "abc.lhr.life", "status": "success"}), "https://abc.lhr.life"),
        (json.dumps({"urls": ["http://a.lhr.life", "https://a.lhr.life"]}), "https://a.lhr.life"),
        (json.dumps({"say": 1, "link": "https://a.lhr.life"}), "https://a.lhr.life"),
    ],
)
def test_an_address_is_found_in_the_words_of_each_service(line: str, url: str) -> None:
    assert LHR.read(line) == Carrying(url=url)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Welcome to localhost.run!",
        "Follow your favourite reverse tunnel at https://twitter.com/localhost_run.",
        "To set up and manage custom domains go to https://admin.localhost.run/",
        "More details on custom domains: https://localhost.run/docs/custom-domains",
        "https://localhost.run/docs/faq#generating-an-ssh-key",
        "https://localhost.run",
        "https://lhr.life",
        "https://evil.example tunneled with tls termination, https://evil.example",
        "https://abc.lhr.life.evil.example",
        "https://evil.example/?https://abc.lhr.life",
        "https://evil.example#.lhr.life",
        "https://evil.example\\.lhr.life",
        "https://abc.lhr.life@evil.example",
        "https://evil.example@abc.lhr.life",
        "https://abclhr.life",
        "https://-x.lhr.life",
        "https://abc.lhr.life/path",
        "https://abc.lhr.life:0",
        "https://abc.lhr.life:99999",
        "http://abc.lhr.life",
        "ftp://abc.lhr.life",
        "Error: https://abc.lhr.life is taken",
        "https://abc.lhr.life could not be given to you",
        "your previous address https://abc.lhr.life no longer works",
        "See https://somebody.lhr.life for an example",
        "connect_to https://abc.lhr.life port 80: failed.",
        json.dumps({"address": "abc.lhr.life", "status": "failed"}),
        json.dumps({"address": "abc.lhr.life", "error": "quota"}),
        json.dumps({"address": "evil.example"}),
        json.dumps({"url": "javascript://abc.lhr.life"}),
        json.dumps(["https://evil.example"]),
        '{"address": "abc.lhr.life"',
        "{" * 3_000,
        "https://" + "a" * 5_000 + ".lhr.life",
        "Allocated port 40001 for remote forward to 127.0.0.1:8080",
    ],
)
def test_other_urls_and_errors_are_not_taken_for_it(line: str) -> None:
    assert not isinstance(LHR.read(line), Carrying)


@given(st.text(max_size=300))
def test_whatever_a_service_says_the_address_lies_in_its_domains(text: str) -> None:
    for line in (
        text,
        f"https://{text}",
        f"tunneled with tls termination, https://{text}.lhr.life",
    ):
        found = LHR.read(line)
        if isinstance(found, Carrying):
            host = found.url.removeprefix("https://").partition(":")[0]
            assert any(host.endswith(f".{domain}") for domain in LHR.domains)
            assert found.url.isprintable()
            assert not set(found.url) & set("@\\?# ")


def test_a_domain_of_ones_own_is_taken_whole() -> None:
    own = Announcements(name="tools.example.com")
    line = "tools.example.com tunneled with tls termination, https://tools.example.com"
    assert own.read(line) == Carrying(url="https://tools.example.com")
    assert LHR.read(line) is None


def test_the_domains_of_a_service_are_known_or_its_own() -> None:
    assert "pinggy.link" in domains_of("a.pinggy.io")
    assert domains_of("tuns.example.com") == ("tuns.example.com",)
    assert domains_of("notlocalhost.run") == ("notlocalhost.run",)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("nokey@localhost.run: Permission denied (publickey).", "credential-refused"),
        ("Error: remote port forwarding failed for listen port 80", "port-taken"),
        ("you have reached too many tunnels", "quota-hit"),
        ("Tunnel limit for this account exceeded", "quota-hit"),
        ("Your tunnel has expired", "tunnel-expired"),
        ("ssh: connect to host localhost.run port 22: Connection refused", "far-end-unreachable"),
    ],
)
def test_refusals_are_told_with_their_cause(line: str, code: str) -> None:
    found = LHR.read(line)
    assert isinstance(found, Refusal)
    assert found.code == code
    assert "option ssh." not in found.hint
