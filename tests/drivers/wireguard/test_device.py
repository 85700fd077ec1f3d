from __future__ import annotations

from dataclasses import replace

import pytest

from underpass.drivers.wireguard.control_text import read_dump, read_uapi, uapi_set, wg_words
from underpass.drivers.wireguard.device import (
    Change,
    Device,
    Peer,
    RemovePeer,
    SetDevice,
    SetPeer,
    WantedDevice,
    WantedPeer,
    active_key,
    changes,
    private_words,
)
from underpass.drivers.wireguard.key_text import NO_KEY, to_hex
from underpass.drivers.wireguard.keys import new_preshared_key, new_private_key, public_of
from underpass.drivers.wireguard.topology import Endpoint
from underpass.guard.secrets import Secret

pytestmark = pytest.mark.pure

MINE, A, B, NEXT = (new_private_key() for _ in range(4))
KEY_A, KEY_B, KEY_NEXT = (public_of(key) for key in (A, B, NEXT))
PSK = new_preshared_key()
ADDRESS_A, ADDRESS_B = frozenset({"10.77.0.2/32"}), frozenset({"10.77.0.3/32"})
WHERE = Endpoint("192.0.2.1", 51_820)

WANT_A = WantedPeer("a", KEY_A, ADDRESS_A, endpoint=WHERE, keepalive=25, preshared=PSK)
WANT_B = WantedPeer("b", KEY_B, ADDRESS_B)
WANTED = WantedDevice(MINE, 51_820, (WANT_A, WANT_B))


def applied(device: Device, found: list[Change]) -> Device:
    """What a device does with changes, as WireGuard's own documentation says it."""
    peers = dict(device.peers)
    for change in found:
        if isinstance(change, SetDevice):
            device = replace(
                device,
                private_key=change.private_key or device.private_key,
                listen=device.listen if change.listen is None else change.listen,
            )
        elif isinstance(change, RemovePeer):
            del peers[change.public_key]
        else:
            peer = peers.get(change.public_key, Peer(change.public_key))
            if change.allowed is not None:
                for key, other in peers.items():
                    peers[key] = replace(other, allowed=other.allowed - change.allowed)
                peer = replace(peer, allowed=change.allowed)
            peers[change.public_key] = replace(
                peer,
                endpoint=change.endpoint or peer.endpoint,
                keepalive=peer.keepalive if change.keepalive is None else change.keepalive,
                preshared=change.preshared or peer.preshared,
            )
    return replace(device, peers=peers)


def test_an_empty_device_gets_everything_and_then_nothing_more() -> None:
    device = applied(Device(), changes(Device(), WANTED))
    assert device.private_key == MINE
    assert device.peers[KEY_A] == Peer(KEY_A, WHERE, ADDRESS_A, keepalive=25, preshared=PSK)
    assert changes(device, WANTED) == []


def test_only_the_peer_that_changed_is_touched() -> None:
    device = applied(Device(), changes(Device(), WANTED))
    slower = replace(WANT_A, keepalive=60)
    assert changes(device, replace(WANTED, peers=(slower, WANT_B))) == [
        SetPeer(KEY_A, keepalive=60)
    ]
    assert changes(device, replace(WANTED, peers=(WANT_A,))) == [RemovePeer(KEY_B)]
    assert changes(device, replace(WANTED, listen=0)) == []
    assert changes(device, replace(WANTED, listen=5)) == [SetDevice(listen=5)]


def test_a_peer_that_roams_is_left_where_it_was_heard() -> None:
    device = applied(Device(), changes(Device(), WANTED))
    roaming = replace(device.peers[KEY_A], endpoint=Endpoint("198.51.100.7", 9))
    assert changes(replace(device, peers={**device.peers, KEY_A: roaming}), WANTED) == []


def test_a_staged_key_waits_until_it_shakes_hands() -> None:
    device = applied(Device(), changes(Device(), WANTED))
    staged = replace(WANT_A, following=(KEY_NEXT,))
    wanted = replace(WANTED, peers=(staged, WANT_B))
    found = changes(device, wanted)
    assert found == [SetPeer(KEY_NEXT, frozenset(), WHERE, 0, PSK)]
    device = applied(device, found)

    def shaken(key: str, at: float) -> None:
        nonlocal device
        peer = replace(device.peers[key], last_handshake=at)
        device = replace(device, peers={**device.peers, key: peer})

    shaken(KEY_A, 100.0)
    assert changes(device, wanted) == []
    # Within one second of the old key's, as `wg` tells it, the new one wins.
    shaken(KEY_NEXT, 100.0)
    assert active_key(device, staged) == KEY_NEXT
    device = applied(device, changes(device, wanted))
    assert device.peers[KEY_NEXT].allowed == ADDRESS_A
    assert device.peers[KEY_NEXT].keepalive == 25
    assert device.peers[KEY_A].allowed == frozenset()
    # After the switch the files call it the current one, and the old one is remembered a while.
    switched = WantedPeer("a", KEY_NEXT, ADDRESS_A, (), (KEY_A,), WHERE, 25, PSK)
    wanted = replace(WANTED, peers=(switched, WANT_B))
    assert changes(device, wanted) == []
    assert changes(device, replace(WANTED, peers=(replace(switched, former=()), WANT_B))) == [
        RemovePeer(KEY_A)
    ]


def test_a_key_of_our_own_is_followed_by_a_call_to_everybody() -> None:
    device = applied(Device(), changes(Device(), WANTED))
    found = changes(device, replace(WANTED, private_key=NEXT))
    assert found[0] == SetDevice(NEXT)
    assert [it.keepalive for it in found if isinstance(it, SetPeer) and it.public_key == KEY_B] == [
        0,
        1,
        0,
    ]


def test_keys_reach_wg_by_files_and_nothing_secret_stands_in_its_words() -> None:
    files: list[Secret] = []

    def key_file(key: Secret) -> str:
        files.append(key)
        return f"/private/{len(files)}"

    words = wg_words([*changes(Device(), WANTED), RemovePeer(KEY_NEXT)], key_file)
    assert files == [MINE, PSK]
    assert words == [
        *("private-key", "/private/1", "listen-port", "51820"),
        *("peer", KEY_A, "preshared-key", "/private/2", "endpoint", "192.0.2.1:51820"),
        *("persistent-keepalive", "25", "allowed-ips", "10.77.0.2/32"),
        *("peer", KEY_B, "persistent-keepalive", "0", "allowed-ips", "10.77.0.3/32"),
        *("peer", KEY_NEXT, "remove"),
    ]


def test_the_userspace_protocol_is_spoken_as_it_is_documented() -> None:
    text = uapi_set([SetDevice(MINE, 5), SetPeer(KEY_A, ADDRESS_A), RemovePeer(KEY_B)])
    assert text.split("\n") == [
        "set=1",
        f"private_key={to_hex(MINE.reveal())}",
        "listen_port=5",
        f"public_key={to_hex(KEY_A)}",
        "replace_allowed_ips=true",
        "allowed_ip=10.77.0.2/32",
        f"public_key={to_hex(KEY_B)}",
        "remove=true",
        "",
        "",
    ]


def test_a_device_is_read_the_same_from_both() -> None:
    dump = [
        f"{MINE.reveal()}\t{KEY_B}\t51820\toff",
        f"{KEY_A}\t{PSK.reveal()}\t192.0.2.1:51820\t10.77.0.2/32\t1700000000\t92\t180\t25",
        f"{KEY_B}\t(none)\t(none)\t(none)\t0\t0\t0\toff",
    ]
    uapi = "\n".join(
        [
            f"private_key={to_hex(MINE.reveal())}",
            "listen_port=51820",
            f"public_key={to_hex(KEY_A)}",
            f"preshared_key={to_hex(PSK.reveal())}",
            "endpoint=192.0.2.1:51820",
            "allowed_ip=10.77.0.2/32",
            "last_handshake_time_sec=1700000000",
            "rx_bytes=92",
            "tx_bytes=180",
            "persistent_keepalive_interval=25",
            f"public_key={to_hex(KEY_B)}",
            f"preshared_key={to_hex(NO_KEY)}",
            "errno=0",
            "",
        ]
    )
    device, code = read_uapi(uapi)
    assert code == 0
    assert device == read_dump(dump)
    assert device.peers[KEY_A].endpoint == WHERE
    assert set(private_words(device)) == {MINE, PSK}


@pytest.mark.parametrize(
    "text",
    ["", "\0", "errno=98", "errno=x", "public_key=zz\nerrno=1", "a=b=c\n" * 10, "\udcff=1"],
)
def test_nonsense_from_a_device_is_no_device(text: str) -> None:
    device, _ = read_uapi(text)
    assert device.peers == {}
    assert read_dump(text.split("\n")).peers == {}


def test_an_error_number_is_passed_on() -> None:
    assert read_uapi("errno=-98\n\n")[1] == -98
    assert read_uapi("errno=what\n\n")[1] == 1
