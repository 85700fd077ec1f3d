"""Our part of a serve configuration, and nobody else's."""

from __future__ import annotations

import copy

import pytest

from underpass.drivers.tailscale.serving import Wanted, add, doors, has, holder

THEIRS = {
    "TCP": {"443": {"HTTPS": True}, "5432": {"TCPForward": "127.0.0.1:5432"}},
    "Web": {"n.t.ts.net:443": {"Handlers": {"/": {"Proxy": "http://127.0.0.1:3000"}}}},
    "AllowFunnel": {"n.t.ts.net:443": True},
    "Foreground": {"other": {"TCP": {"8080": {"HTTP": True}}}},
    "Services": {"svc:x": {"Tun": True}},
}


def test_ours_is_added_and_theirs_stays_as_it_was() -> None:
    before = copy.deepcopy(THEIRS)
    section = Wanted(80, "unix:/d.sock").section("n.t.ts.net")
    changed = add(THEIRS, "mine", section)
    assert before == THEIRS
    assert has(changed, "mine", section)
    del changed["Foreground"]["mine"]
    assert changed == before


def test_there_may_be_nothing_yet() -> None:
    section = Wanted(80, "127.0.0.1:4000").section("n.t")
    assert add(None, "mine", section) == {"Foreground": {"mine": section}}
    assert has(None, "mine", section) is False


@pytest.mark.parametrize(
    ("wanted", "url", "section"),
    [
        (
            Wanted(80, "127.0.0.1:4000"),
            "http://n.t",
            {
                "TCP": {"80": {"HTTP": True}},
                "Web": {"n.t:80": {"Handlers": {"/": {"Proxy": "http://127.0.0.1:4000"}}}},
            },
        ),
        (
            Wanted(8443, "unix:/d", https=True, funnel=True),
            "https://n.t:8443",
            {
                "TCP": {"8443": {"HTTPS": True}},
                "Web": {"n.t:8443": {"Handlers": {"/": {"Proxy": "unix:/d"}}}},
                "AllowFunnel": {"n.t:8443": True},
            },
        ),
        (
            Wanted(5432, "unix:/d", is_tcp=True),
            "tcp://n.t:5432",
            {"TCP": {"5432": {"TCPForward": "unix:/d"}}},
        ),
    ],
)
def test_a_door_is_written_as_tailscaled_reads_it(
    wanted: Wanted, url: str, section: dict[str, object]
) -> None:
    assert wanted.section("n.t") == section
    assert wanted.url("n.t") == url
    assert Wanted.from_json(wanted.to_json()) == wanted


def test_who_holds_a_port_is_named() -> None:
    assert holder(THEIRS, "mine", 443) == "the configured proxy to http://127.0.0.1:3000"
    assert holder(THEIRS, "mine", 5432) == "the configured tcp forward to 127.0.0.1:5432"
    assert "another program's" in holder(THEIRS, "mine", 8080)
    assert holder(THEIRS, "other", 8080) == ""
    assert holder(None, "mine", 80) == ""


def test_every_door_is_told_with_whether_everybody_may_come() -> None:
    assert sorted(doors(THEIRS)) == [
        ("", 443, "proxy to http://127.0.0.1:3000", True),
        ("", 5432, "tcp forward to 127.0.0.1:5432", False),
        ("other", 8080, "listener", False),
    ]
    assert doors(None) == []
