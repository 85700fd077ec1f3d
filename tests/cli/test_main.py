from __future__ import annotations

import errno
import json
import subprocess
import sys

import click
import pytest

from underpass import __version__
from underpass.cli.lazy import LazyGroup
from underpass.cli.main import main, root
from underpass.model.errors_relay import NameTaken

HELP = """\
Usage: underpass [OPTIONS] COMMAND [ARGS]...

  Open, guard, watch, prove and close tunnels.

  Results go to stdout, everything else to stderr; --json makes both fit for
  programs.

Options:
  --version   Show the version and exit.
  -h, --help  Show this message and exit.

Commands:
  open        Open a tunnel to ORIGIN and keep it open.
  list        List the tunnels open on this machine.
  show        Show one tunnel and its newest verdict.
  prove       Prove a tunnel now, through its public door.
  watch       Watch a tunnel change, until it is closed.
  approve     List or decide sign-ins that wait for you.
  requests    List the recorded requests of a tunnel; show one.
  replay      Send a recorded request to the origin once more.
  journal     List what was allowed or refused, and why.
  renew       Move the end of a tunnel's lease.
  close       Close a tunnel.
  reach       Make a gated tcp tunnel, or a service behind a host, local.
  relay       Serve a relay; manage its keys and names.
  wg          Make and keep networks of hosts by WireGuard.
  mesh        See how a mesh is; mend it.
  changes     Tell what opening would change at an engine's vendor.
  advise      Say which engine fits a need, and how.
  errors      Explain error codes.
  completion  Print a shell's completion script.
"""


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == HELP


def commands(group: LazyGroup, path: str = "underpass"):
    for name, entry in group.table.items():
        command = group.get_command(click.Context(group), name)
        yield f"{path} {name}", entry, command
        if isinstance(command, LazyGroup):
            yield from commands(command, f"{path} {name}")


@pytest.mark.parametrize(("path", "entry", "command"), list(commands(root)))
def test_a_command_says_of_itself_what_its_group_says_of_it(path, entry, command):
    assert command.name == path.rpartition(" ")[2]
    assert command.get_short_help_str(200) == entry.help


@pytest.mark.parametrize("path", [path for path, _, _ in commands(root)])
def test_every_command_has_a_help_page(path, capsys, at_home):
    assert main([*path.split()[1:], "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: {path}")


@pytest.mark.parametrize("words", [["--help"], ["list", "--json"]])
def test_help_and_list_import_nothing_of_the_product(words, environment):
    code = (
        "import sys; from underpass.cli.main import main; main(sys.argv[1:]);"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(done.stderr.split())
    ours = {name for name in modules if name.startswith("underpass.")}
    allowed = ("underpass.cli", "underpass.api", "underpass.model")
    assert {name for name in ours if not name.startswith(allowed)} == set()
    assert not {"underpass.api.server", "underpass.model.spec", "underpass.assembly"} & ours
    heavy = {"asyncio", "ssl", "msgspec", "rich", "starlette", "uvicorn", "cryptography", "uvloop"}
    assert heavy & modules == set()


def test_the_version_is_the_package_s(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"underpass {__version__}\n"


def test_a_command_that_does_not_exist_is_a_usage_error(capsys):
    assert main(["lsit"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(
        "error[usage]: cannot understand the command: no such command 'lsit'"
    )
    assert told.err.endswith("hint: underpass --help\n")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("clsoe tools", "no such command 'clsoe'; did you mean close?"),
        ("relay serv", "no such command 'serv'; did you mean serve?"),
        ("list --jsno", "no such option '--jsno'; did you mean --json?"),
        ("open 3001 --gatee bearer", "no such option '--gatee'; did you mean --gate?"),
        ("errors no-such-tunel", "'no-such-tunel'; did you mean no-such-tunnel?"),
        ("xyzzy", "no such command 'xyzzy'\n"),
    ],
)
def test_a_mistyped_word_is_told_with_the_one_that_was_meant(words, meant, capsys, at_home):
    assert main(words.split()) == 2
    assert meant in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["relay"], ["wg"], ["mesh"], ["relay", "keys"]])
def test_a_group_without_a_command_says_what_there_is(words, capsys):
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("Usage: " + " ".join(["underpass", *words]))
    assert "Commands:\n" in told.err
    assert "error[" not in told.err


def test_with_json_an_error_is_one_object_on_stdout(capsys):
    assert main(["renew", "tools", "--json"]) == 2
    told = capsys.readouterr()
    assert json.loads(told.out) == {
        "error": {
            "code": "usage",
            "message": "cannot understand the command: missing option '--for'",
            "hint": "underpass renew --help",
            "retryable": False,
        }
    }
    assert told.err == ""


def test_json_after_two_dashes_is_the_child_s_word_and_not_ours(capsys, at_home):
    assert main(["open", "3001", "--", "program", "--json"]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.startswith("error[usage]")) == ("", True)


@pytest.fixture
def failing(monkeypatch):
    """A command that raises what it is given."""

    def install(error: BaseException) -> None:
        def fail() -> None:
            raise error

        command = click.Command("list", callback=fail)
        monkeypatch.setattr(LazyGroup, "get_command", lambda *_: command)

    return install


def test_an_error_of_ours_is_told_with_code_sentence_and_hint(failing, capsys):
    failing(NameTaken("tools"))
    assert main(["list"]) == 9
    assert capsys.readouterr().err == (
        "error[name-taken]: cannot use the name 'tools': it belongs to another key\n"
        "hint: choose another --name, or leave it out for a random one\n"
    )


def test_an_error_inside_a_task_group_is_found(failing, capsys):
    failing(ExceptionGroup("tasks", [ValueError("x"), ExceptionGroup("y", [NameTaken("tools")])]))
    assert main(["list"]) == 9
    assert "error[name-taken]" in capsys.readouterr().err


def test_a_foreign_error_is_told_without_its_text_which_may_quote_a_secret(failing, capsys):
    failing(ValueError("up_canary"))
    assert main(["list"]) == 1
    err = capsys.readouterr().err
    assert "error[unexpected-failure]: cannot go on: ValueError in fail" in err
    assert "canary" not in err


def test_a_full_disk_is_no_bug_of_ours(failing, capsys):
    failing(ExceptionGroup("tasks", [OSError(errno.ENOSPC, "No space left", "/up_canary")]))
    assert main(["list"]) == 1
    assert capsys.readouterr().err == (
        "error[disk-unusable]: cannot write to a disk of this machine: no space left on device\n"
        "hint: make room: df -h; UNDERPASS_STATE_DIR and UNDERPASS_RUNTIME_DIR name other places\n"
    )


def test_the_way_to_a_foreign_error_is_shown_when_asked_for(failing, capsys, monkeypatch):
    monkeypatch.setenv("UNDERPASS_DEBUG", "1")
    failing(ValueError("up_canary"))
    main(["list"])
    err = capsys.readouterr().err
    assert ", in fail" in err
    assert "canary" not in err


def test_an_interrupt_is_130(failing, capsys):
    failing(KeyboardInterrupt())
    assert main(["list"]) == 130


def test_colours_follow_the_environment(capsys, monkeypatch, failing):
    failing(NameTaken("tools"))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    main(["list"])
    assert capsys.readouterr().err.startswith("\x1b[31merror[name-taken]:\x1b[0m")
    monkeypatch.setenv("NO_COLOR", "1")
    main(["list"])
    assert "\x1b" not in capsys.readouterr().err


def test_a_reader_that_has_enough_is_no_error(environment):
    done = subprocess.run(
        f"{sys.executable} -m underpass errors --json | head -c 1",
        shell=True,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("{", "")
