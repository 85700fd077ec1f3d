"""What a host's files are looked at for; the interface itself is proved in ``tests/engines``."""

from __future__ import annotations

from pathlib import Path

from underpass.drivers.wireguard.host_files import HostFiles


def test_files_are_read_again_when_their_content_or_only_their_mode_changed(tmp_path: Path) -> None:
    topology, keys = tmp_path / "mesh.toml", tmp_path / "mesh.keys"
    keys.mkdir()
    topology.write_text("[network]")
    files = HostFiles(topology, keys, "laptop")
    seen = [files.mark()]
    key = keys / "relay.next.pub"
    key.write_text("written with a mode that lets others in")
    seen.append(files.mark())
    key.chmod(0o600)
    seen.append(files.mark())
    topology.write_text("[network]\nname = 'mesh'")
    seen.append(files.mark())
    assert len(set(seen)) == 4
    assert files.mark() == seen[-1]
