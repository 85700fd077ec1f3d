"""Where the authtoken is looked for, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from underpass.drivers.ngrok.credentials import find_token, own_configurations
from underpass.drivers.ngrok.driver import NgrokDriver
from underpass.drivers.ngrok.engine import AgentEngine
from underpass.drivers.ngrok.settings import NgrokSettings
from underpass.drivers.plans import Detection, Site
from underpass.guard.errors import SecretUnreadable
from underpass.model.errors_run import LooseMode
from underpass.model.spec import parse_spec

TOKEN = "2tokenTOKENtokenTOKENtoken_0123456789"


def settings(**options: str) -> NgrokSettings:
    return NgrokSettings.parse({key.replace("_", "-"): value for key, value in options.items()})


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_variable_comes_first_then_the_file_then_ngroks_own(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path)}
    own = own_configurations(environment)[0]
    write(own, f"version: 3\nagent:\n    authtoken: {TOKEN}own # mine\n    web_addr: x\n")
    named = write(tmp_path / "token", TOKEN + "file\n")
    with_file = settings(authtoken_file=str(named))
    everywhere = {**environment, "NGROK_AUTHTOKEN": TOKEN}

    def found(chosen: NgrokSettings, variables: dict[str, str]) -> str:
        token = find_token(chosen, variables)
        return "" if token is None else token.reveal()

    assert found(with_file, everywhere) == TOKEN
    assert found(with_file, environment) == TOKEN + "file"
    assert found(settings(), environment) == TOKEN + "own"
    assert found(settings(authtoken_env="OTHER"), {"OTHER": "x", **environment}) == "x"
    assert found(settings(), {}) == ""


def test_the_old_place_is_known_too(tmp_path: Path) -> None:
    write(tmp_path / ".ngrok2" / "ngrok.yml", f'authtoken: "{TOKEN}"\nregion: eu\n')
    token = find_token(settings(), {"HOME": str(tmp_path)})
    assert token is not None
    assert token.reveal() == TOKEN


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path)}
    write(own_configurations(environment)[0], f"authtoken: {TOKEN}\n", 0o644)
    with pytest.raises(LooseMode):
        find_token(settings(), environment)
    with pytest.raises(SecretUnreadable):
        find_token(settings(authtoken_file=str(tmp_path / "missing")), {})


async def test_detection_says_whether_there_is_an_account(tmp_path: Path) -> None:
    program = write(tmp_path / "bin" / "ngrok", "#!/bin/sh\necho ngrok version 3.30.0\n", 0o755)
    environment = {"PATH": f"{program.parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
    site = Site("tools", tmp_path, environment=environment, options={"client": "program"})
    found = await NgrokDriver().detect(site)
    assert (found.is_usable, found.version, found.signed_in) == (True, "3.30.0", False)
    own = write(own_configurations(environment)[0], f"authtoken: {TOKEN}\n")
    assert (await NgrokDriver().detect(site)).signed_in is True
    own.chmod(0o644)
    loose = await NgrokDriver().detect(site)
    assert not loose.is_usable
    assert str(own) in loose.why_not


async def test_a_token_from_a_file_reaches_the_plan_that_is_carried_out(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PATH": "/bin"}
    write(own_configurations(environment)[0], f"authtoken: {TOKEN}\n")
    detection = Detection(True, "/opt/ngrok", "3.30.0", signed_in=True)
    site = Site("tools", tmp_path, environment=environment, detection=detection)
    spec = parse_spec("3001")
    assert TOKEN not in NgrokDriver().plan(spec, site).files[0].content.decode()
    engine = NgrokDriver().make_engine(spec, site)
    assert isinstance(engine, AgentEngine)
    assert TOKEN in engine._driver.plan(spec, engine._site).files[0].content.decode()
    assert TOKEN not in repr(engine)
