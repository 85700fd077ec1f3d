"""``underpass errors``: what each code means, from the classes themselves."""

from __future__ import annotations

import click

from underpass.cli.options import json_option
from underpass.cli.terminal import facts, json_line, result, table
from underpass.model.errors import UnderpassError
from underpass.model.nearest import or_nearest

SCHEMA = "underpass/v1/errors"


def _codes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [error.code for error in every_error() if error.code.startswith(incomplete)]


@click.command("errors", short_help="Explain error codes.")
@click.argument("code", required=False, shell_complete=_codes)
@json_option
def command(code: str | None, as_json: bool) -> None:
    """Explain all error codes, or the one given."""
    from underpass.model.errors_page import kind_of

    known = {error.code: error for error in every_error()}
    if code is not None and code not in known:
        raise click.UsageError(f"there is no error code {code!r}{or_nearest(code, known)}")
    chosen = list(known.values()) if code is None else [known[code]]
    if as_json:
        json_line(
            {"schema": SCHEMA, "errors": [_record(error, kind_of(error)) for error in chosen]}
        )
    elif code is None:
        rows = [
            (error.code, str(error.exit_code), kind_of(error), _what(error)) for error in chosen
        ]
        result(table(("CODE", "EXIT", "WHO ACTS", "WHAT"), rows))
    else:
        error = chosen[0]
        pairs = [
            ("what", _what(error)),
            ("says", error.sentence),
            ("hint", error.hint_text or "-"),
            ("kind", kind_of(error)),
            ("exit", str(error.exit_code)),
            ("retry", "may succeed later by itself" if error.retryable else "no use unchanged"),
        ]
        result(f"{error.code}\n{facts(pairs)}")


def every_error() -> list[type[UnderpassError]]:
    """Every error with a code, of all packages, in the order of their codes."""
    import contextlib
    import importlib
    import pkgutil

    import underpass
    from underpass.model.errors import catalogue

    for module in pkgutil.walk_packages(underpass.__path__, "underpass."):
        # The rest of it is a process of its own, whose SDK takes a second to import.
        if module.name.startswith("underpass.bridge.") and module.name != "underpass.bridge.errors":
            continue
        # The test kit needs packages that only developers have; it raises no errors of its own.
        if not module.name.startswith(("underpass.testing", "underpass.__main__")):
            # What needs an extra that is not installed cannot raise its errors here either.
            with contextlib.suppress(ModuleNotFoundError):
                importlib.import_module(module.name)
    return list(catalogue())


def _what(error: type[UnderpassError]) -> str:
    return (error.__doc__ or "").partition("\n")[0].rstrip(".")


def _record(error: type[UnderpassError], kind: str) -> dict[str, object]:
    return {
        "code": error.code,
        "kind": kind,
        "what": _what(error),
        "message": error.sentence,
        "hint": error.hint_text or None,
        "retryable": error.retryable,
        "exit_code": error.exit_code,
    }
