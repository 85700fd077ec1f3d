from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from underpass.drivers.wireguard.configs import wanted_device, wg_quick_file
from underpass.drivers.wireguard.errors import KeyMissing, KeyUnreadable, RotationOutOfTurn
from underpass.drivers.wireguard.key_text import NO_KEY, clamp, decode, is_key, to_hex
from underpass.drivers.wireguard.keys import Keyring, PublicKeys, new_private_key, public_of
from underpass.drivers.wireguard.topology import parse_topology
from underpass.guard.secrets import Secret
from underpass.model.errors_run import LooseMode

needs_wg = pytest.mark.skipif(
    # In CI nothing may be missing: there the tests fail instead.
    shutil.which("wg-quick") is None and not os.environ.get("CI"),
    reason="wg is missing: apt-get install wireguard-tools",
)

TEXT = """
[network]
name = "mesh"
subnet = "10.77.0.0/24"
preshared = true
[hosts.relay]
endpoint = "192.0.2.1:51820"
[hosts.a]
[hosts.b]
"""


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    ring = Keyring.beside(tmp_path / "mesh.toml", parse_topology(TEXT))
    assert ring.make() == ["relay", "a", "b"]
    return ring


@needs_wg
def test_keys_are_those_that_wg_itself_makes(tmp_path: Path) -> None:
    made = new_private_key()
    done = subprocess.run(
        ["wg", "pubkey"], input=made.reveal(), capture_output=True, text=True, check=True
    )
    assert public_of(made) == done.stdout.strip()
    raw = decode(made.reveal())
    assert raw is not None
    assert clamp(raw) == raw


def test_a_key_has_one_spelling() -> None:
    key = new_private_key().reveal()
    assert is_key(key)
    assert to_hex(NO_KEY) == "0" * 64
    other = key[:42] + chr(ord(key[42]) + 1) + "="
    for text in ("", key[:-1], key + "\n", f" {key}", other, key.replace("=", ""), "é" * 44):
        assert not is_key(text), text
    with pytest.raises(ValueError, match="no key"):
        to_hex("x")
    with pytest.raises(ValueError, match="no key"):
        public_of(Secret("x"))


def test_private_keys_are_ours_alone(ring: Keyring) -> None:
    assert stat.S_IMODE(ring.directory.stat().st_mode) == 0o700
    for path in ring.directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert {path.name for path in ring.directory.glob("*.psk")} == {"a+relay.psk", "b+relay.psk"}
    (ring.directory / "a.key").chmod(0o644)
    with pytest.raises(LooseMode):
        ring.private("a")


def test_making_again_changes_nothing(ring: Keyring) -> None:
    before = {path.name: path.read_bytes() for path in ring.directory.iterdir()}
    assert ring.make() == []
    assert {path.name: path.read_bytes() for path in ring.directory.iterdir()} == before


def test_a_key_that_is_missing_or_broken_is_told_as_such(ring: Keyring) -> None:
    (ring.directory / "a.key").unlink()
    with pytest.raises(KeyMissing, match="the private key of a") as missing:
        ring.private("a")
    assert missing.value.code == "wireguard-key-missing"
    (ring.directory / "b.pub").unlink()
    with pytest.raises(KeyMissing, match="the public key of b"):
        ring.public("b")
    (ring.directory / "a+relay.psk").unlink()
    with pytest.raises(KeyMissing, match="preshared"):
        ring.preshared("relay", "a")
    (ring.directory / "b.key").write_text("nonsense\n")
    with pytest.raises(KeyUnreadable) as broken:
        ring.private("b")
    assert broken.value.code == "wireguard-key-unreadable"
    assert "nonsense" not in broken.value.message


def test_a_rotation_goes_step_by_step(ring: Keyring) -> None:
    former = ring.public("a").current
    with pytest.raises(RotationOutOfTurn, match="no key is staged") as early:
        ring.switch("a")
    assert early.value.code == "rotation-out-of-turn"
    staged = ring.stage("a")
    assert ring.public("a").following == (staged,)
    assert public_of(ring.private("a")) == former
    with pytest.raises(RotationOutOfTurn, match="under way"):
        ring.stage("a")
    assert ring.switch("a") == staged
    assert public_of(ring.private("a")) == staged
    assert (ring.public("a").current, ring.public("a").former) == (staged, (former,))
    with pytest.raises(RotationOutOfTurn, match="under way"):
        ring.stage("a")
    ring.finish("a")
    assert ring.public("a").former == ()
    with pytest.raises(RotationOutOfTurn, match="no key was switched"):
        ring.finish("a")


def test_a_neighbour_that_was_brought_the_staged_key_ends_the_rotation_with_it(
    ring: Keyring, tmp_path: Path
) -> None:
    apart = tmp_path / "b.keys"
    ring.pack("b", apart)
    neighbour = Keyring(apart, ring._topology)
    for _ in range(2):  # the second one finds nothing of the first
        former, staged = ring.public("a").current, ring.stage("a")
        with pytest.raises(RotationOutOfTurn, match="not switched") as refused:
            ring.finish("a")
        assert refused.value.hint == "its next step is switch"
        shutil.copy(ring.directory / "a.next.pub", apart)
        assert neighbour.public("a") == PublicKeys(former, (staged,))
        ring.switch("a")
        ring.finish("a")
        neighbour.finish("a")
        assert neighbour.public("a") == ring.public("a") == PublicKeys(staged)
        with pytest.raises(RotationOutOfTurn, match="no key was switched"):
            neighbour.finish("a")


def test_a_public_key_may_be_read_by_all_and_written_by_its_owner_alone(ring: Keyring) -> None:
    known = ring.public("a").current
    path = ring.directory / "a.pub"
    path.chmod(0o644)
    assert ring.public("a").current == known
    path.chmod(0o664)
    with pytest.raises(LooseMode):
        ring.public("a")
    path.chmod(0o644)
    path.write_text("ssh-ed25519 AAAA")
    with pytest.raises(KeyUnreadable):
        ring.public("a")


def test_a_key_in_the_topology_wins_and_is_not_made(tmp_path: Path) -> None:
    key, following = (public_of(new_private_key()) for _ in range(2))
    text = TEXT + f'public-key = "{key}"\nnext-public-key = "{following}"\n'
    ring = Keyring.beside(tmp_path / "mesh.toml", parse_topology(text))
    assert ring.make() == ["relay", "a"]
    assert (ring.public("b").current, ring.public("b").following) == (key, (following,))


def test_a_pack_holds_no_other_private_key(ring: Keyring, tmp_path: Path) -> None:
    written = ring.pack("a", tmp_path / "for-a")
    assert set(written) == {"a.key", "a.pub", "b.pub", "relay.pub", "a+relay.psk"}
    assert {path.name for path in (tmp_path / "for-a").iterdir()} == set(written)


@needs_wg
def test_a_file_for_wg_quick_is_one_that_wg_understands(ring: Keyring, tmp_path: Path) -> None:
    topology = parse_topology(TEXT)
    for name in topology.hosts:
        text = wg_quick_file(topology, name, wanted_device(topology, ring, name))
        path = tmp_path / f"{name}.conf"
        path.touch(0o600)
        path.write_text(text)
        done = subprocess.run(
            ["wg-quick", "strip", str(path)], capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        assert done.stdout.count("[Peer]") == len(topology.neighbours(name))
        for command in ("PostUp", "PreUp", "PostDown", "PreDown", "SaveConfig"):
            assert command not in text
