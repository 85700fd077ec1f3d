"""``underpass prove --stream`` and ``--verify``: measuring streams, and believing a certificate."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from underpass.api.client import Call
from underpass.api.discovery import Found
from underpass.api.errors import Answered
from underpass.cli.terminal import json_line, prose, result
from underpass.model.duration import parse_duration
from underpass.model.errors_run import DaemonUnreachable

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

SILENCE: Final = "20s"
SIZES: Final = "10MB,100000"
RATES: Final = "10x30,100x300,1000x2000"

_UNITS: Final = {"": 1, "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}
_OUT = click.Path(dir_okay=False, writable=True, path_type=Path)
_IN = click.Path(exists=True, dir_okay=False, path_type=Path)


def stream_options(function: Decorated) -> Decorated:
    """The options of ``--stream`` and ``--verify``; ``StreamChoice.read`` takes them."""
    for option in reversed(
        (
            click.option("--stream", is_flag=True, help="Measure how it carries streams."),
            click.option(
                "--out", type=_OUT, metavar="FILE.json", help="With --stream: the certificate."
            ),
            click.option(
                "--page", type=_OUT, metavar="FILE.html", help="With --stream: a page to read."
            ),
            click.option(
                "--silence",
                metavar="DURATION",
                help=f"With --stream: silence that must be survived. Default: {SILENCE}.",
            ),
            click.option(
                "--sizes",
                metavar="BYTES,TOKENS",
                help=f"With --stream: how large the large bodies are. Default: {SIZES}.",
            ),
            click.option(
                "--rates",
                metavar="RATExCOUNT,…",
                help=f"With --stream: events a second, and how many. Default: {RATES}.",
            ),
            click.option(
                "--verify", type=_IN, metavar="FILE.json", help="Check a certificate; no NAME."
            ),
            click.option(
                "--key",
                metavar="FINGERPRINT",
                help="With --verify: whose key must have signed it (SHA256:…).",
            ),
        )
    ):
        function = option(function)
    return function


@dataclass(frozen=True, slots=True)
class StreamChoice:
    """What is to be measured, or checked."""

    wish: Mapping[str, object]
    """Body of the API's ``stream``."""
    out: Path | None
    page: Path | None
    verify: Path | None
    key: str

    @classmethod
    def read(
        cls,
        name: str | None,
        *,
        trust: bool,
        stream: bool,
        out: Path | None,
        page: Path | None,
        silence: str | None,
        sizes: str | None,
        rates: str | None,
        verify: Path | None,
        key: str | None,
    ) -> StreamChoice | None:
        """The choice that these options make together; None: a plain proof."""
        if key and verify is None:
            raise click.UsageError("--key goes with --verify")
        details = (out, page, silence, sizes, rates)
        if not stream and any(each is not None for each in details):
            raise click.UsageError("--out, --page, --silence, --sizes, --rates go with --stream")
        if stream + trust + (verify is not None) > 1:
            raise click.UsageError("choose one of --stream, --trust and --verify")
        if verify is not None:
            if name is not None:
                raise click.UsageError("--verify checks a file; it takes no NAME")
            return cls({}, None, None, verify, key or "")
        if not stream:
            return None
        for path in (out, page):
            # Told now and not after a quarter of an hour.
            if path is not None and not path.absolute().parent.is_dir():
                raise click.UsageError(f"there is no directory {path.parent}")
        size, tokens = _sizes(sizes or SIZES)
        wish = {
            "silence_ms": parse_duration(silence or SILENCE) * 1000,
            "size": size,
            "tokens": tokens,
            "rates": _rates(rates or RATES),
        }
        return cls(wish, out, page, None, "")


def measure_streams(found: Found, choice: StreamChoice, *, as_json: bool) -> bool:
    """Have it measured, write what was asked for; whether every limit was kept."""
    said = _certificate(found, choice.wish)
    if choice.out is not None:
        _write(choice.out, json.dumps(said, indent=1, ensure_ascii=False) + "\n")
    if choice.page is not None:
        from underpass.prove.streaming.page import page

        _write(choice.page, page(said))
    if as_json:
        json_line(said)
    else:
        result(verdict(said))
    return bool(said["ok"])


def verify_certificate(path: Path, key: str, *, as_json: bool) -> bool:
    """Check the file, tell what it says; whether every limit was kept."""
    from underpass.prove.streaming.certificate import MAX_BYTES, verify

    with path.open("rb") as file:
        said = verify(file.read(MAX_BYTES), key)
    if as_json:
        json_line(said)
    else:
        result(verdict(said))
        result(f"signed by {said['signature']['fingerprint']}, {said['ended']}")
        if not key:
            prose("whose key that is, only its owner can say: --key FINGERPRINT requires one")
    return bool(said["ok"])


def verdict(said: Mapping[str, Any]) -> str:
    """A certificate's lines, for people."""
    width = max(len(line["name"]) for line in said["lines"])
    kept = "keeps" if said["ok"] else "does not keep"
    head = f"{said['tunnel']} {kept} the streaming contract, seen from {said['seen_from']}"
    rows = [
        f"  {line['name']:<{width}}  {line['outcome']:<6}  {line['words']}"
        for line in said["lines"]
    ]
    return "\n".join((head, *rows))


def _certificate(found: Found, wish: Mapping[str, object]) -> dict[str, Any]:
    target = f"/v1/tunnels/{found.name}/stream"
    with Call(found.socket, "POST", target, wish, seconds=None) as call:
        for line in call.lines():
            if line["event"] == "certified":
                return dict(line["certificate"])
            if line["event"] == "failed":
                raise Answered(line["error"])
            if sys.stderr.isatty():
                prose(f"{line['step']}/{line['of']}  {line['doing']}")
    # It broke off: the tunnel was closed.
    raise DaemonUnreachable(str(found.socket))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.FileError(str(path), error.strerror or "it cannot be written") from None


def _sizes(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,10})(KB|MB|GB|),([0-9]{1,7})", text)
    if found is None:
        raise click.UsageError(f"--sizes {text!r} is not of the form {SIZES}")
    return int(found[1]) * _UNITS[found[2]], int(found[3])


def _rates(text: str) -> list[tuple[int, int]]:
    found = [re.fullmatch(r"([0-9]{1,4})x([0-9]{1,5})", each) for each in text.split(",")]
    if not all(found):
        raise click.UsageError(f"--rates {text!r} is not of the form {RATES}")
    return [(int(each[1]), int(each[2])) for each in found if each]
