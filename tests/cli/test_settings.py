from __future__ import annotations

from pathlib import Path

import pytest

from underpass.cli.commands.open import command as open_command
from underpass.cli.commands.relay_serve import command as serve_command
from underpass.cli.errors import ExposureBeyondPolicy, SettingsInvalid
from underpass.cli.settings import load_settings
from underpass.cli.tables import TABLES
from underpass.model.errors_run import LooseMode


@pytest.fixture
def user_file(at_home: Path, environment: dict[str, str]) -> Path:
    path = Path(environment["UNDERPASS_CONFIG"])
    path.parent.mkdir()
    return path


@pytest.fixture
def project_file(at_home: Path) -> Path:
    return at_home / "underpass.toml"


def opened(*words: str):
    return open_command.make_context("open", ["3001", *words]).params


def test_an_option_wins_over_a_variable_over_the_project_over_the_user_over_the_default(
    user_file, project_file, monkeypatch
):
    assert opened()["purpose"] == ""
    user_file.write_text('[open]\npurpose = "user"\n')
    assert opened()["purpose"] == "user"
    project_file.write_text('[open]\npurpose = "project"\n')
    assert opened()["purpose"] == "project"
    monkeypatch.setenv("UNDERPASS_OPEN__PURPOSE", "variable")
    assert opened()["purpose"] == "variable"
    assert opened("--purpose", "option")["purpose"] == "option"


def test_each_setting_may_come_from_another_place(user_file, project_file, monkeypatch):
    user_file.write_text('[open]\nrelay = "https://relay.example.com"\ntimeout = "1m"\n')
    project_file.write_text('[open]\nname = "tools"\ngate = ["bearer", "ip:10.0.0.0/8"]\n')
    monkeypatch.setenv("UNDERPASS_OPEN__FOR", "2h")
    params = opened("--idle", "10m")
    assert params["relay"] == "https://relay.example.com"
    assert params["timeout"] == 60
    assert params["name"] == "tools"
    assert params["gate"] == ("bearer", "ip:10.0.0.0/8")
    assert params["for"] == 7200
    assert params["idle"] == 600


def test_nested_tables_have_nested_variables(user_file, monkeypatch):
    user_file.write_text('[relay.serve]\ndomain = "relay.example.com"\nmax-names = 7\n')
    monkeypatch.setenv("UNDERPASS_RELAY__SERVE__TCP_PORTS", "20000-20002")
    params = serve_command.make_context("serve", []).params
    assert params["domain"] == "relay.example.com"
    assert params["max_names"] == 7
    assert list(params["tcp_ports"]) == [20000, 20001, 20002]


@pytest.mark.parametrize(
    ("command", "table"), [(open_command, "open"), (serve_command, "relay.serve")]
)
def test_every_option_can_be_set_in_a_file_under_its_own_name(command, table):
    options = {p.opts[0][2:] for p in command.params if p.param_type_name == "option"}
    fields = set(TABLES[table].__struct_encode_fields__)
    # A reason is given each time: in a file it would be a standing permission.
    assert options - {"json", "run", "help", "accept-danger"} == fields


def test_a_project_s_settings_may_be_in_pyproject(at_home):
    (at_home / "pyproject.toml").write_text('[tool.underpass.open]\nname = "tools"\n')
    assert opened()["name"] == "tools"


def test_a_project_is_found_from_below_but_not_beyond_its_root(at_home, monkeypatch):
    (at_home / "underpass.toml").write_text('[open]\nname = "outer"\n')
    inner = at_home / "src"
    inner.mkdir()
    monkeypatch.chdir(inner)
    assert opened()["name"] == "outer"
    (inner / ".git").mkdir()
    assert opened()["name"] is None


def test_all_mistakes_of_all_files_are_told_together(user_file, project_file):
    user_file.write_text('[open]\nnmae = "tools"\n[serve]\nx = 1\n')
    project_file.write_text("[open]\npublic = 'yes'\n")
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    told = caught.value.message
    assert "[open] object contains unknown field `nmae`" in told
    assert "serve.x is no table of settings" in told
    assert f"{project_file}: [open] expected `bool | null`, got `str` - at `$.public`" in told


def test_a_file_that_is_no_toml_is_named(user_file):
    user_file.write_text("[open\n")
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    assert str(user_file) in caught.value.message


@pytest.mark.parametrize(
    ("setting", "wish"),
    [
        ("public = true", "public = true"),
        ('relay = "https://evil.example"', 'relay = "https://evil.example"'),
        ('cors = ["*"]', 'cors = ["*"]'),
        ('token-file = "/tmp/t"', 'token-file = "/tmp/t"'),
        ('enrol-token-file = "/etc/shadow"', 'enrol-token-file = "/etc/shadow"'),
        ("show-token = true", "show-token = true"),
        ('gate = ["ip:0.0.0.0/0"]', 'gate = ["ip:0.0.0.0/0"] without bearer, basic or oauth'),
        ('gate = ["link"]', 'gate = ["link"] without bearer, basic or oauth'),
        ('gate = ["oauth:origin"]', 'gate = ["oauth:origin"] without bearer, basic or oauth'),
        (
            'gate = ["oauth", "/x=oauth:origin"]',
            'gate = ["oauth", "/x=oauth:origin"] without bearer, basic or oauth',
        ),
        ("gate = []", "gate = [] without bearer, basic or oauth"),
        (
            'gate = ["bearer", "/x=open"]',
            'gate = ["bearer", "/x=open"] without bearer, basic or oauth',
        ),
        (
            'gate = ["bearer|ip:10.0.0.0/8"]',
            'gate = ["bearer|ip:10.0.0.0/8"] without bearer, basic or oauth',
        ),
        (
            'gate = ["/x=bearer", "/y=signature:github"]',
            'gate = ["/x=bearer", "/y=signature:github"] without bearer, basic or oauth',
        ),
        ('for = "9h"', 'for = "9h", more than 8h'),
    ],
)
def test_a_project_file_may_not_ask_for_more_exposure(project_file, setting, wish):
    project_file.write_text(f"[open]\n{setting}\n")
    with pytest.raises(ExposureBeyondPolicy) as caught:
        opened()
    assert caught.value.message == f"cannot follow {project_file}: it asks for {wish}"
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    "settings",
    [
        'gate = ["bearer", "ip:10.0.0.0/8"]',
        'gate = ["bearer", "/x=basic+ip:10.0.0.0/8"]',
        'gate = ["oauth"]',
        'gate = ["bearer", "/mcp=oauth"]',
        "public = false",
        'for = "1h"\nidle = "5m"',
    ],
)
def test_a_project_file_may_ask_for_less(project_file, settings):
    project_file.write_text(f"[open]\n{settings}\n")
    opened()


@pytest.mark.parametrize(
    ("own", "setting", "wish"),
    [
        ("no-capture = true", "no-capture = false", "no-capture = false in place of your true"),
        ("no-meter = true", "no-meter = false", "no-meter = false in place of your true"),
        ('for = "1h"', 'for = "2h"', 'for = "2h" in place of your "1h"'),
        ('idle = "5m"', 'idle = "6m"', 'idle = "6m" in place of your "5m"'),
        (
            'quota = ["1GB/month"]',
            'quota = ["9GB/month"]',
            'quota = ["9GB/month"] in place of your ["1GB/month"]',
        ),
        (
            'gate = ["bearer", "ip:10.0.0.0/8"]',
            'gate = ["bearer"]',
            'gate = ["bearer"] in place of your ["bearer", "ip:10.0.0.0/8"]',
        ),
        (
            'gate = ["ip:10.0.0.0/8"]',
            'gate = ["ip:10.0.0.0/8", "/x=bearer", "bearer"]',
            'gate = ["ip:10.0.0.0/8", "/x=bearer", "bearer"] in place of your ["ip:10.0.0.0/8"]',
        ),
    ],
)
def test_a_project_file_takes_nothing_from_what_the_user_has_set(
    user_file, project_file, own, setting, wish
):
    project_file.write_text(f"[open]\n{setting}\n")
    opened()
    user_file.write_text(f"[open]\n{own}\n")
    with pytest.raises(ExposureBeyondPolicy) as caught:
        opened()
    assert caught.value.message == f"cannot follow {project_file}: it asks for {wish}"
    name = setting.partition(" ")[0]
    user_file.write_text(f'[open]\n{own}\n[projects]\nmay = ["{name}"]\n')
    opened()


@pytest.mark.parametrize(
    ("own", "setting"),
    [
        ('for = "2h"', 'for = "1h"'),
        ('idle = "5m"', 'idle = "5m"'),
        ('gate = ["ip:10.0.0.0/8"]', 'gate = ["bearer", "ip:10.0.0.0/8"]'),
        ("public = true", "public = false"),
    ],
)
def test_a_project_file_may_narrow_what_the_user_has_set(user_file, project_file, own, setting):
    user_file.write_text(f"[open]\n{own}\n")
    project_file.write_text(f"[open]\n{setting}\n")
    opened()


def test_the_user_may_allow_more_to_project_files(user_file, project_file):
    user_file.write_text('[projects]\nmay = ["relay"]\n')
    project_file.write_text('[open]\nrelay = "https://relay.example.com"\n')
    assert opened()["relay"] == "https://relay.example.com"


def test_a_project_file_cannot_allow_itself_more(project_file):
    project_file.write_text('[projects]\nmay = ["public"]\n[open]\npublic = true\n')
    with pytest.raises(SettingsInvalid):
        opened()


def test_a_project_file_has_no_word_in_serving_or_reaching(project_file):
    project_file.write_text('[reach]\nrelay = "https://evil.example"\n')
    with pytest.raises(ExposureBeyondPolicy):
        opened()


def test_a_file_that_everybody_may_write_is_refused(project_file):
    project_file.write_text("")
    project_file.chmod(0o666)
    with pytest.raises(LooseMode):
        load_settings()


def test_help_is_shown_whatever_the_files_say(project_file, capsys):
    from underpass.cli.main import main

    project_file.write_text("[open\n")
    assert main(["open", "--help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: underpass open [OPTIONS] ORIGIN")


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("UNDERPASS_OPEN__NMAE", "UNDERPASS_OPEN__NMAE is no setting; did you mean NAME?"),
        ("UNDERPASS_OPEN__XYZZY", "UNDERPASS_OPEN__XYZZY is no setting\n"),
        ("UNDERPASS_OPEN__JSON", "UNDERPASS_OPEN__JSON is no setting\n"),
        ("UNDERPASS_OPEN__ACCEPT_DANGER", "UNDERPASS_OPEN__ACCEPT_DANGER is no setting\n"),
    ],
)
def test_a_variable_that_sets_nothing_is_told(at_home, monkeypatch, capsys, variable, told):
    from underpass.cli.main import main

    monkeypatch.setenv(variable, "hush")
    assert main(["open", "3001"]) == 2
    err = capsys.readouterr().err
    assert "error[settings-invalid]" in err
    assert told in err
    assert "hush" not in err
    assert main(["open", "--help"]) == 0
    assert main(["reach", "tools"]) == 2
    assert "error[usage]" in capsys.readouterr().err
