"""How errors are told: code, sentence and hint, to people on stderr or as an object on stdout."""

from __future__ import annotations

import errno
import json
import os
import traceback
from collections.abc import Mapping

import click

from underpass.cli.errors import DiskUnusable, UnexpectedFailure, UsageWrong
from underpass.cli.terminal import colour_wish
from underpass.model.errors import UnderpassError
from underpass.model.nearest import or_nearest

_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


def explain(error: BaseException) -> UnderpassError:
    """The error of ours that ``error`` is, holds or amounts to."""
    if isinstance(error, UnderpassError):
        return error
    if isinstance(error, BaseExceptionGroup):
        # A task group gives up with all that went wrong; the first of ours is the reason.
        known = [explain(inner) for inner in error.exceptions]
        return next((e for e in known if not isinstance(e, UnexpectedFailure)), known[0])
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "underpass"
        if isinstance(error, click.NoSuchOption):
            near = or_nearest(error.option_name, error.possibilities or ())
            return UsageWrong(f"no such option {error.option_name!r}{near}", command)
        return UsageWrong(_sentence(error.format_message()), command)
    if isinstance(error, click.ClickException):
        return UsageWrong(_sentence(error.format_message()), "underpass")
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        # Wherever it comes up: nothing that writes can go on, and no caller could mend it.
        return _traced(DiskUnusable(os.strerror(error.errno).lower()), error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].name} ({frames[-1].filename}:{frames[-1].lineno})" if frames else "?"
    # Its own text is left out: foreign exceptions quote what they were given, secrets included.
    return _traced(UnexpectedFailure(type(error).__name__, where), error)


def has_lost_reader(error: BaseException) -> bool:
    """Whether all that went wrong is that nobody reads our output any more."""
    if isinstance(error, BaseExceptionGroup):
        return all(has_lost_reader(inner) for inner in error.exceptions)
    return isinstance(error, BrokenPipeError)


def report(error: UnderpassError, *, as_json: bool, environ: Mapping[str, str]) -> int:
    """Tell ``error``; returns the exit code that belongs to it."""
    if as_json:
        click.echo(json.dumps({"error": error.to_dict()}, ensure_ascii=False))
    else:
        # Given, since the command's context, which knows it too, is gone by now.
        colour = colour_wish(environ)
        label = click.style(f"error[{error.code}]:", fg="red")
        click.echo(f"{label} {error.message}", err=True, color=colour)
        if error.hint:
            click.echo(f"{click.style('hint:', fg='cyan')} {error.hint}", err=True, color=colour)
    if environ.get("UNDERPASS_DEBUG") and error.__traceback__ is not None:
        click.echo("".join(traceback.format_tb(error.__traceback__)), err=True, nl=False)
    return error.exit_code


def _sentence(message: str) -> str:
    # click writes "No such option: --foo" with a full stop at times; ours goes on after a colon.
    return (message[:1].lower() + message[1:]).rstrip(".")


def _traced(error: UnderpassError, origin: BaseException) -> UnderpassError:
    return error.with_traceback(origin.__traceback__)
