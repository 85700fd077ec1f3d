from __future__ import annotations

import json
from pathlib import Path

import pytest

from underpass.cli.main import main
from underpass.drivers.wireguard.errors import InterfaceRefused

TEXT = """
[network]
name = "mesh"
subnet = "10.77.0.0/24"
[hosts.relay]
endpoint = "192.0.2.1:51820"
[hosts.laptop]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mesh.toml"
    path.write_text(TEXT)
    return path


def told(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, object]:
    """What a command of ``underpass wg`` says with --json."""
    assert main(["wg", *words, "--json"]) == code
    out, err = capsys.readouterr()
    found: dict[str, object] = json.loads(out or err)
    return found


def test_keys_are_made_shown_and_rotated(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = told(capsys, "show", str(file))
    assert [host["public_key"] for host in before["hosts"]] == [None, None]  # type: ignore[attr-defined]
    made = told(capsys, "keys", str(file))["made"]
    assert isinstance(made, dict)
    assert set(made) == {"relay", "laptop"}
    assert told(capsys, "keys", str(file))["made"] == {}
    staged = told(capsys, "rotate", str(file), "laptop", "stage")["public_key"]
    shown = told(capsys, "show", str(file))["hosts"]
    assert shown[1]["next_public_key"] == staged  # type: ignore[index]
    assert told(capsys, "rotate", str(file), "laptop", "switch")["public_key"] == staged
    told(capsys, "rotate", str(file), "laptop", "finish")
    error = told(capsys, "rotate", str(file), "laptop", "finish", code=4)["error"]
    assert error["code"] == "rotation-out-of-turn"  # type: ignore[index]


def test_a_topology_is_shown_as_it_is_understood(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["wg", "show", str(file)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out == (
        "HOST    ADDRESS    ENDPOINT         MEETS   PUBLIC KEY\n"
        "relay   10.77.0.1  192.0.2.1:51820  laptop  -\n"
        "laptop  10.77.0.2  -                relay   -\n"
    )


def test_the_example_is_a_network_that_needs_its_keys_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "agents.toml"
    error = told(capsys, "show", str(file), code=2)["error"]
    assert "underpass wg example" in error["hint"]  # type: ignore[index]
    assert main(["wg", "example"]) == 0
    file.write_text(capsys.readouterr().out)
    assert set(told(capsys, "keys", str(file))["made"]) == {"relay", "laptop", "ci"}  # type: ignore[call-overload]
    hosts = told(capsys, "show", str(file))["hosts"]
    assert [host["meets"] for host in hosts] == [["laptop", "ci"], ["relay"], ["relay"]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", ["up", "status", "witness"])
def test_a_namespace_that_is_not_there_is_told_as_such(
    command: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(capsys, "keys", str(file))
    error = told(capsys, command, str(file), "laptop", "--netns", "nowhere", code=2)["error"]
    assert error["code"] == "engine-option-invalid"  # type: ignore[index]
    assert "there is no namespace nowhere" in error["message"]  # type: ignore[index]


def test_the_status_of_an_interface_that_is_not_up_says_how_to_bring_it_up(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(capsys, "keys", str(file))
    words = ("status", str(file), "laptop", "--interface", "up-nobody")
    error = told(capsys, *words, code=7)["error"]
    assert error["code"] == "interface-refused"  # type: ignore[index]
    assert error["hint"] == "bring it up: underpass wg up FILE HOST"  # type: ignore[index]


def test_an_interface_is_never_refused_without_a_next_step() -> None:
    assert InterfaceRefused("upw-a", "it is busy").hint == (
        "see what is there: ip address show upw-a; wg show upw-a"
    )


def test_no_private_key_is_ever_printed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = file.with_suffix(".keys")
    said = ""
    for words in (
        ("keys", str(file)),
        ("show", str(file)),
        ("rotate", str(file), "relay", "stage"),
        ("config", str(file), "--out", str(file.parent / "conf")),
        ("pack", str(file), "laptop", str(file.parent / "laptop")),
    ):
        for form in ((), ("--json",)) if words[0] == "show" else ((),):
            assert main(["wg", *words, *form]) == 0
            said += "".join(capsys.readouterr())
    secrets = [path.read_text().strip() for path in keys.glob("*.key")]
    assert len(secrets) == 3
    assert not [secret for secret in secrets if secret in said]
    assert {path.name for path in (file.parent / "conf").iterdir()} == {"relay.conf", "laptop.conf"}
    packed = {path.name for path in (file.parent / "laptop" / "mesh.keys").iterdir()}
    assert packed == {"laptop.key", "laptop.pub", "relay.pub", "relay.next.pub"}
    assert (file.parent / "laptop" / "mesh.toml").read_text() == TEXT


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("show", "missing.toml"), "topology-invalid"),
        (("rotate", "mesh.toml", "nobody", "stage"), "topology-host-unknown"),
        (("pack", "mesh.toml", "nobody", "out"), "topology-host-unknown"),
        (("config", "mesh.toml", "--out", "out"), "wireguard-key-missing"),
        (("up", "mesh.toml", "nobody"), "topology-host-unknown"),
        (("up", "mesh.toml", "relay", "--interface", "-x"), "engine-option-invalid"),
        (("witness", "mesh.toml", "relay", "--netns", "../x"), "engine-option-invalid"),
        (("witness", "mesh.toml", "relay", "--netns", "underpass-none"), "engine-option-invalid"),
    ],
)
def test_what_cannot_be_is_told_with_its_code(
    file: Path,
    words: tuple[str, ...],
    code: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(file.parent)
    monkeypatch.setenv("UNDERPASS_RUNTIME_DIR", str(file.parent / "rt"))
    assert main(["wg", *words, "--json"]) != 0
    out, err = capsys.readouterr()
    assert json.loads(out or err)["error"]["code"] == code
