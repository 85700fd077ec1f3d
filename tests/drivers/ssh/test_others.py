"""What other people's ssh does is read from its words as ssh reads them."""

from __future__ import annotations

import pytest

from underpass.drivers.others import NO_GATE
from underpass.drivers.ssh.others import Told, describe, read_words, risks_of, split_spec

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("words", "host", "forwards"),
    [
        (
            "-fNR8080:localhost:80 -L 1:db:2 -D1080 -p 22 host",
            "host",
            (("R", "8080:localhost:80"), ("L", "1:db:2"), ("D", "1080")),
        ),
        ("-i -R -N me@host", "host", ()),
        ("me@host -R 1:h:2 uptime -L 3:h:4", "host", (("R", "1:h:2"),)),
        ("-oRemoteForward=8080:h:80 -- host", "host", (("R", "8080:h:80"),)),
        ("-o LocalForward=5432 host", "host", (("L", "5432"),)),
        ("-W h:1 host", "host", ()),
        ("-M -S /ctl -D 1 host", "host", (("D", "1"),)),
        ("ssh://me@host:22/", "host:22", ()),
        ("", "", ()),
        ("-R", "", (("R", ""),)),
    ],
)
def test_forwards_and_the_host_are_read(
    words: str, host: str, forwards: tuple[tuple[str, str], ...]
) -> None:
    assert read_words(words.split()) == Told(host, forwards)


def test_an_option_of_autossh_is_not_taken_for_one_of_ssh() -> None:
    words = ["-M", "0", "-R", "1:h:2", "host"]
    assert read_words(words, autossh=True) == Told("host", (("R", "1:h:2"),))
    assert read_words(words).host == "0"


@pytest.mark.parametrize(
    ("spec", "listens", "target"),
    [
        ("8080:localhost:80", "8080", "localhost:80"),
        ("127.0.0.1:0:/run/x", "127.0.0.1:0", "/run/x"),
        ("/a:/b", "/a", "/b"),
        ("/a:h:1", "/a", "h:1"),
        ("1080", "1080", ""),
        ("*:1080", "*:1080", ""),
        ("[::]:80:[::1]:90", "[::]:80", "[::1]:90"),
        (":80:h:1", ":80", "h:1"),
        ("80:/x", "80", "/x"),
    ],
)
def test_a_forward_says_where_it_listens_and_what_it_leads_to(
    spec: str, listens: str, target: str
) -> None:
    assert split_spec(spec) == (listens, target)


def test_what_a_forward_opens_is_told_from_this_machine_s_side() -> None:
    assert describe("R", "80:h:1", "far") == ("h:1", "far 80")
    assert describe("L", "80:h:1", "far") == ("h:1 as far sees it", "80")
    assert describe("D", "80", "far") == ("every address that far reaches, by SOCKS", "80")
    assert describe("R", "80", "far") == ("every address from here, by SOCKS", "far 80")


@pytest.mark.parametrize(
    ("kind", "spec", "gateway", "words"),
    [
        ("R", "127.0.0.1:80:h:1", False, [NO_GATE]),
        ("R", "*:80:h:1", False, [NO_GATE, "every address of the far host"]),
        ("R", "80", False, [NO_GATE, "everything that this machine reaches"]),
        ("L", "80:h:1", False, []),
        ("L", "80:h:1", True, ["other machines"]),
        ("L", "0.0.0.0:80:h:1", False, ["other machines"]),
        ("D", "[::]:80", False, ["other machines"]),
        ("D", "127.0.0.1:80", True, []),
    ],
)
def test_risks_are_what_strangers_could_do(
    kind: str, spec: str, gateway: bool, words: list[str]
) -> None:
    found = risks_of(kind, spec, Told("far", opens_gateway=gateway))
    assert len(found) == len(words)
    for risk, word in zip(found, words, strict=True):
        assert word in risk
