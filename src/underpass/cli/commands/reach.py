"""``underpass reach``: which tunnel, at which relay, and with which token."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from underpass.cli.errors import RelayUnknown
from underpass.cli.options import AddressType, json_option
from underpass.cli.settings import SettingsCommand
from underpass.model.options import ReachOptions, RelayAccess
from underpass.model.rules import check_name

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    "reach",
    cls=SettingsCommand,
    table="reach",
    short_help="Make a gated tcp tunnel local.",
    epilog="Each option can also be given by a variable (UNDERPASS_REACH__RELAY) or in the [reach] "
    "table of underpass.toml.",
)
@click.argument("name", metavar="NAME|URL")
@click.option("--token-file", type=FILE, required=True, help="The visitors' token (0600).")
@click.option(
    "--listen",
    type=AddressType(),
    default="127.0.0.1:0",
    show_default=True,
    help="Where local programs connect.",
)
@click.option("--relay", metavar="URL", help="The tunnel's relay, unless it is open here.")
@click.option("--relay-ca", type=FILE, help="Only these authorities may vouch for the relay.")
@click.option("--relay-fingerprint", metavar="SHA256", help="Only this certificate is the relay.")
@json_option
@click.pass_context
def command(ctx: click.Context, /, as_json: bool, **params: Any) -> None:
    """Make a gated tcp tunnel local: listen here, and carry each connection to its origin.

    NAME is looked up among the tunnels open on this machine, or at --relay. A URL,
    https://NAME.relay.example.com, names both.
    """
    from underpass.cli.reaching import reach
    from underpass.cli.running import run

    name, relay = find(params["name"], params)
    check_name(name)
    ctx.exit(
        run(
            reach(
                ReachOptions(
                    name=name,
                    relay=relay,
                    token_file=params["token_file"],
                    listen=params["listen"],
                    json=as_json,
                )
            )
        )
    )


def find(wanted: str, params: dict[str, Any]) -> tuple[str, RelayAccess]:
    """The tunnel's name and its relay; raises ``RelayUnknown`` when nothing names a relay."""
    ca, fingerprint = params["relay_ca"], params["relay_fingerprint"]
    if "://" in wanted:
        parts = urlsplit(wanted)
        name, _, domain = parts.netloc.partition(".")
        if not domain:
            raise click.UsageError(f"{wanted!r} does not name a relay: {name} is all of its host")
        url = params["relay"] or f"{parts.scheme}://{domain}"
        return name, RelayAccess(url=url, ca=ca, fingerprint=fingerprint)
    if params["relay"]:
        return wanted, RelayAccess(url=params["relay"], ca=ca, fingerprint=fingerprint)
    return wanted, _relay_of_open_tunnel(wanted, ca, fingerprint)


def _relay_of_open_tunnel(name: str, ca: Path | None, fingerprint: str | None) -> RelayAccess:
    from underpass.api.client import Call
    from underpass.api.discovery import survey
    from underpass.api.places import runtime_dir
    from underpass.model.errors_run import NoSuchTunnel

    try:
        found = survey(runtime_dir()).pick(name)
    except NoSuchTunnel:
        raise RelayUnknown(name) from None
    with Call(found.socket, "GET", f"/v1/tunnels/{found.name}/reach") as call:
        known = call.answer()
    if ca is None and known.get("ca"):
        ca = Path(known["ca"])
    return RelayAccess(url=known["relay"], ca=ca, fingerprint=fingerprint or known["fingerprint"])
