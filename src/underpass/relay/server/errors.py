"""Errors that only the relay's server raises."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.errors import Misuse, Setup, Unreachable
from underpass.relay.protocol.refusals import NoPublicPorts, PortsExhausted

__all__ = [
    "AuthorisedKeysWrong",
    "CannotListen",
    "KeyNotFound",
    "NoPublicPorts",
    "PortsExhausted",
    "RegistryTooNew",
    "RegistryUnavailable",
    "RelayMisconfigured",
]


@dataclass(eq=False)
class RegistryUnavailable(Unreachable):
    """The store is locked, full or broken; nothing was changed."""

    code = "registry-unavailable"
    sentence = "cannot read or write the relay's registry: {reason}"
    hint_text = "look at the free space and the rights of the state directory"

    reason: str
    retry_after: float = 2.0


@dataclass(eq=False)
class RegistryTooNew(Setup):
    """The file was written by a later version of this program."""

    code = "registry-too-new"
    sentence = "cannot open {path}: it has layout {found}, and this version knows {known}"
    hint_text = "run the version that wrote it, or restore an older copy"

    path: str
    found: int
    known: int


@dataclass(eq=False)
class KeyNotFound(Misuse):
    """No enrolled key matches what the operator typed."""

    code = "no-such-key"
    sentence = "cannot find a key that matches {text}"
    hint_text = "underpass relay keys list"

    text: str


@dataclass(eq=False)
class AuthorisedKeysWrong(Setup):
    """A line of the authorised-keys file does not parse; the whole file is refused."""

    code = "authorised-keys-wrong"
    sentence = "cannot read line {line} of {path}: {reason}"
    hint_text = "a line is: ed25519:KEY [names=N] [ports=N] [streams=N] [label]"

    path: str
    line: int
    reason: str


@dataclass(eq=False)
class CannotListen(Setup):
    """An address on which the relay should listen cannot be had."""

    code = "cannot-listen"
    sentence = "cannot listen on {address}: {reason}"
    hint_text = "choose another address, or stop what holds it"
    exit_code = 9

    address: str
    reason: str


@dataclass(eq=False)
class RelayMisconfigured(Misuse):
    """The relay's options do not fit together."""

    code = "relay-misconfigured"
    sentence = "cannot serve this relay: {reason}"
    hint_text = "underpass relay serve --help"

    reason: str
