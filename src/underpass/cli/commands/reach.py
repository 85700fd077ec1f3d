"""``underpass reach``: which tunnel, at which relay, with which token; or a far host's service."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from underpass.cli.errors import RelayUnknown
from underpass.cli.options import (
    AddressType,
    PairType,
    SecondsType,
    complete_tunnel,
    json_option,
)
from underpass.cli.settings import SettingsCommand
from underpass.model.options import (
    OPEN_TIMEOUT_SECONDS,
    ReachOptions,
    RelayAccess,
    ViaOptions,
)
from underpass.model.rules import check_name

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    "reach",
    cls=SettingsCommand,
    table="reach",
    short_help="Make a gated tcp tunnel, or a service behind a host, local.",
    epilog="Each option can also be given by a variable (UNDERPASS_REACH__RELAY) or in the [reach] "
    "table of underpass.toml.",
)
@click.argument("name", metavar="NAME|URL|TARGET", shell_complete=complete_tunnel)
@click.option("--token-file", type=FILE, help="The visitors' token (0600); not with --via.")
@click.option(
    "--via",
    metavar="ssh:[USER@]HOST[:PORT]",
    help="TARGET as HOST sees it, by ssh. Hosts to jump over come first, with commas.",
)
@click.option(
    "--engine-option", multiple=True, type=PairType(), help="With --via: identity=FILE, …"
)
@click.option("--expect", metavar="SERVICE", help="With --via: whose greeting proves it, or any.")
@click.option("--ssh-config", is_flag=True, help="With --via: print sections for ~/.ssh/config.")
@click.option(
    "--timeout",
    type=SecondsType(bare=True),
    default=f"{OPEN_TIMEOUT_SECONDS:g}s",
    show_default=True,
    help="With --via: until the service must have greeted.",
)
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

    With --via, TARGET is a service as a far host sees it: db.internal:5432, unix:///run/app.sock,
    or socks for all of them. It is ready once it has greeted.
    """
    if params["via"] is not None:
        ctx.exit(_reach_via(ctx, params, as_json=as_json))
    if params["token_file"] is None:
        raise click.UsageError("--token-file names the visitors' token; or reach --via a host", ctx)
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


def _reach_via(ctx: click.Context, params: dict[str, Any], *, as_json: bool) -> int:
    from underpass.api.places import runtime_dir
    from underpass.cli.running import run
    from underpass.cli.via import print_fragment, reach_via
    from underpass.prove.greetings import SERVICES

    engine, colon, where = params["via"].partition(":")
    if not colon or not where:
        raise click.UsageError("--via names an engine and where it leads, like ssh:alice@host", ctx)
    if params["token_file"] is not None:
        raise click.UsageError("--token-file is for tunnels; --via needs none", ctx)
    if params["expect"] is not None and params["expect"] not in SERVICES:
        raise click.UsageError("--expect is one of " + ", ".join(SERVICES), ctx)
    given = [(key.removeprefix(f"{engine}."), value) for key, value in params["engine_option"]]
    options = (("via", where), *given)
    if params["ssh_config"]:
        return run(print_fragment(engine, params["name"], dict(options), params["listen"][1]))
    return run(
        reach_via(
            ViaOptions(
                target=params["name"],
                engine=engine,
                engine_options=options,
                runtime_dir=runtime_dir(),
                listen=params["listen"],
                expect=params["expect"] or "",
                timeout=float(params["timeout"]),
                json=as_json,
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
