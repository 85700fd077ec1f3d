"""What the words of programs without a driver say of their tunnels."""

from __future__ import annotations

import pytest

from underpass.inventory.peers import Carried, read_peer

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("words", "exposes", "public"),
    [
        ("frpc tcp -s f:7000 -l 8080 -n web -t hunter22", "127.0.0.1:8080", "f:7000"),
        ("frpc http --server_addr=f:7000 --local_port=80 --local_ip=h", "h:80", "f:7000"),
        ("frpc -c /etc/frpc.toml", "what its configuration says: /etc/frpc.toml", ""),
        ("frpc", "what its configuration says: frpc.ini", ""),
        ("chisel client --auth a:hunter22 https://c.d R:80:h:81", "h:81", "c.d 80"),
        ("chisel client c:9 R:0.0.0.0:8080:db:80/tcp", "db:80/tcp", "c:9 0.0.0.0:8080"),
        ("chisel client c:9 R:socks", "every address from here, by SOCKS", "c:9 socks"),
        ("node /x/bin/lt --port 3000 --subdomain mine", "localhost:3000", "mine.localtunnel.me"),
        ("node /localtunnel/bin/lt.js -p 3000 -h http://me:hunter22@h:9", "localhost:3000", "h:9"),
    ],
)
def test_a_tunnel_is_read_from_words_and_never_a_secret(
    words: str, exposes: str, public: str
) -> None:
    (found,) = read_peer(words.split()[0], tuple(words.split()))
    assert (found.exposes, found.public) == (exposes, public)
    assert found.risks
    assert "hunter22" not in repr(found)


def test_what_makes_a_far_service_local_is_no_door_to_this_machine() -> None:
    found = read_peer("chisel", ("chisel", "client", "c:9", "5432:db:5432", "socks"))
    assert found == [
        Carried("chisel", "db:5432 as c:9 sees it", "5432", ()),
        Carried("chisel", "every address that c:9 reaches, by SOCKS", "socks", ()),
    ]


@pytest.mark.parametrize(
    "words",
    [
        "frpc verify -c x",
        "frpc reload",
        "chisel server --port 9",
        "chisel client",
        "chisel",
        "node app.js --port 3000",
        "lt --help",
        "vim lt",
    ],
)
def test_what_carries_nothing_is_no_tunnel(words: str) -> None:
    assert read_peer(words.split()[0], tuple(words.split())) == []
