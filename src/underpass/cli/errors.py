"""Errors that only the command line raises."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.errors import Defect, Misuse, Refused, Setup


@dataclass(eq=False)
class UsageWrong(Misuse):
    """The words after ``underpass`` are not a command."""

    why: str
    command: str

    code = "usage"
    sentence = "cannot understand the command: {why}"
    hint_text = "{command} --help"


@dataclass(eq=False)
class SettingsInvalid(Setup):
    """Configuration files or variables have mistakes; all of a kind are told at once."""

    mistakes: str

    code = "settings-invalid"
    sentence = "cannot use the settings: {mistakes}"
    hint_text = "correct what is named; settings have the names of the options"
    exit_code = 2


@dataclass(eq=False)
class ExposureBeyondPolicy(Refused):
    """A project file asks for more exposure than the user's policy allows."""

    path: str
    wishes: str
    user: str

    code = "exposure-beyond-policy"
    sentence = "cannot follow {path}: it asks for {wishes}"
    hint_text = "allow it with `may` under [projects] in {user}, or take it out and say it yourself"


@dataclass(eq=False)
class ListenRefused(Setup):
    """A local address cannot be listened on."""

    address: str
    why: str

    code = "listen-refused"
    sentence = "cannot listen on {address}: {why}"
    hint_text = "choose another address with --listen; port 0 takes a free one"


@dataclass(eq=False)
class NoRelayHere(Setup):
    """The state directory holds no relay's database."""

    path: str

    code = "no-relay-here"
    sentence = "cannot find a relay's database in {path}"
    hint_text = "name the directory given to `underpass relay serve --state` with --state"


@dataclass(eq=False)
class RelayUnknown(Misuse):
    """A tunnel is to be reached by name, and nothing says at which relay it is."""

    name: str

    code = "relay-unknown"
    sentence = "cannot tell at which relay {name} is: no tunnel of that name is open here"
    hint_text = "name its relay with --relay"


@dataclass(eq=False)
class DiskUnusable(Setup):
    """A disk of this machine is full, or takes no more from us."""

    why: str

    code = "disk-unusable"
    sentence = "cannot write to a disk of this machine: {why}"
    hint_text = "make room: df -h; UNDERPASS_STATE_DIR and UNDERPASS_RUNTIME_DIR name other places"


@dataclass(eq=False)
class UnexpectedFailure(Defect):
    """Something was raised that nobody translated."""

    what: str
    where: str

    code = "unexpected-failure"
    sentence = "cannot go on: {what} in {where}"
    hint_text = (
        "this is a bug of underpass: please report it; UNDERPASS_DEBUG=1 shows the way to it"
    )
