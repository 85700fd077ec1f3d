"""``underpass relay serve``: how a relay is declared, and its checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from underpass.cli.options import AddressType, PortRangeType, json_option
from underpass.cli.settings import SettingsCommand
from underpass.model.options import RelayLimits, RelayOptions

FILE = click.Path(dir_okay=False, path_type=Path)

PUBLIC_LISTEN = ("", 443)
DEV_LISTEN = ("127.0.0.1", 8800)

_LIMITS = RelayLimits()


@click.command(
    "serve",
    cls=SettingsCommand,
    table="relay.serve",
    short_help="Serve a relay until it is told to end.",
    epilog="Each option can also be given by a variable (UNDERPASS_RELAY__SERVE__DOMAIN) or in the "
    "[relay.serve] table of underpass.toml.",
)
@click.option("--domain", help="Tunnels are NAME.DOMAIN; the relay itself is DOMAIN.")
@click.option("--dev", is_flag=True, help="Plain HTTP on loopback, a port a tunnel, no DNS.")
@click.option("--listen", type=AddressType(), help="Default: :443; with --dev 127.0.0.1:8800.")
@click.option("--tls-cert", type=FILE, help="Certificate chain for DOMAIN and *.DOMAIN.")
@click.option("--tls-key", type=FILE, help="Its private key.")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where names, keys and leases are kept. Default: the state directory's relay/.",
)
@click.option("--tcp-ports", type=PortRangeType(), help="Public ports for tcp tunnels.")
@click.option("--redirect-listen", type=AddressType(), help="Redirect plain GETs to https here.")
@click.option("--metrics-listen", type=AddressType(), help="Serve /healthz and /metrics here.")
@click.option(
    "--proxy-protocol-from", multiple=True, metavar="CIDR", help="Believe PROXY headers from here."
)
@click.option(
    "--front-fingerprint",
    multiple=True,
    metavar="SHA256",
    help="A certificate that a front proxy serves in the relay's place.",
)
@click.option("--authorised-keys", type=FILE, help="Keys that need no enrolment token.")
@click.option("--max-names", type=click.IntRange(1), default=_LIMITS.names, help="For each key.")
@click.option("--max-ports", type=click.IntRange(0), default=_LIMITS.ports, help="For each key.")
@click.option(
    "--max-streams", type=click.IntRange(1), default=_LIMITS.streams, help="For each key."
)
@json_option
@click.pass_context
def command(ctx: click.Context, /, as_json: bool, **params: Any) -> None:
    """Serve a relay until it is told to end.

    SIGTERM and Ctrl-C drain: connectors are told to move and requests in flight finish. SIGHUP
    reads certificates and authorised keys again.
    """
    options = chosen(ctx, params, as_json=as_json)

    from underpass.cli.running import run
    from underpass.cli.serving import serve
    from underpass.relay.server.log import log_to_stderr

    log_to_stderr()
    ctx.exit(run(serve(options)))


def chosen(ctx: click.Context, params: dict[str, Any], *, as_json: bool) -> RelayOptions:
    """The relay that the parameters declare; refuses what cannot be meant."""
    from underpass.api.places import state_dir

    dev, has_tls = params["dev"], params["tls_cert"] is not None
    if has_tls != (params["tls_key"] is not None):
        raise click.UsageError("--tls-cert and --tls-key go together", ctx)
    if dev and (params["domain"] or has_tls):
        raise click.UsageError("--dev serves plain HTTP on loopback, without domain or TLS", ctx)
    if not dev and not (params["domain"] and has_tls):
        raise click.UsageError(
            "a public relay needs --domain, --tls-cert and --tls-key; without them there is --dev",
            ctx,
        )
    return RelayOptions(
        state_dir=params["state"] or state_dir() / "relay",
        listen=params["listen"] or (DEV_LISTEN if dev else PUBLIC_LISTEN),
        domain=params["domain"],
        dev=dev,
        tls_cert=params["tls_cert"],
        tls_key=params["tls_key"],
        redirect_listen=params["redirect_listen"],
        metrics_listen=params["metrics_listen"],
        tcp_ports=params["tcp_ports"] or range(0),
        proxy_protocol_from=tuple(params["proxy_protocol_from"]),
        front_fingerprints=tuple(params["front_fingerprint"]),
        authorised_keys=params["authorised_keys"],
        limits=RelayLimits(
            names=params["max_names"], ports=params["max_ports"], streams=params["max_streams"]
        ),
        json=as_json,
    )
