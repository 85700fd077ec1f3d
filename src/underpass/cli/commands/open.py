"""``underpass open``: what is declared, where the declaration comes from, and its checks."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import click

from underpass.api.owner import login_name
from underpass.api.places import config_dir, runtime_dir, state_dir
from underpass.cli.options import (
    AddressType,
    PairType,
    SecondsType,
    complete_engine,
    complete_gate,
    complete_variable,
    json_option,
)
from underpass.cli.settings import SettingsCommand
from underpass.guard.policy import load_policy
from underpass.model.options import (
    OPEN_TIMEOUT_SECONDS,
    OAuthOptions,
    OpenOptions,
    RelayAccess,
)
from underpass.model.origin import as_mcp, parse_origin
from underpass.model.spec import DEFAULT_LEASE, LeaseTerms, TunnelSpec, parse_gates
from underpass.observe.quota import parse_quota

POLICY_FILE = "policy.toml"

FILE = click.Path(dir_okay=False, path_type=Path)


class OpenCommand(SettingsCommand):
    """``open``, whose words after ``--`` are another program's and not ours to read."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ours, run = args, None
        if "--" in args:
            at = args.index("--")
            ours, run = args[:at], tuple(args[at + 1 :])
        ctx.meta["underpass.run"] = run or ()
        rest = super().parse_args(ctx, ours)
        if ctx.params.get("run") and not run:
            raise click.UsageError("--run needs a command after --", ctx)
        if run is not None and not ctx.params.get("run"):
            raise click.UsageError("a command after -- needs --run before it", ctx)
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[--run -- COMMAND…]"]


@click.command(
    "open",
    cls=OpenCommand,
    table="open",
    short_help="Open a tunnel to ORIGIN and keep it open.",
    epilog="Each option can also be given by a variable (UNDERPASS_OPEN__RELAY) or in the [open] "
    "table of underpass.toml.",
)
@click.argument("origin", metavar="ORIGIN")
@click.option("--name", help="First label of the public host name; random when left out.")
@click.option(
    "--gate",
    multiple=True,
    metavar="GATE",
    shell_complete=complete_gate,
    help="bearer, basic[:USER], ip:CIDR[,CIDR…], link, mtls:file:CA, signature:SCHEME, "
    "jwt:ISSUER,aud=AUDIENCE or oauth; may be repeated. A+B: both, A|B: either; /path=GATE and "
    "/path/*=GATE: for these paths, where open means none. Default: bearer.",
)
@click.option("--mcp", is_flag=True, help="ORIGIN is an MCP server, as mcp+http:// says.")
@click.option("--public", is_flag=True, help="No gate at all. Needs --for of at most 1h.")
@click.option(
    "--accept-danger",
    metavar="REASON",
    default="",
    allow_from_autoenv=False,
    help="Open to everybody what preflight would refuse, for this reason, which is journalled.",
)
@click.option("--for", "for", type=SecondsType(), help="Until the lease ends. Default: 8h.")
@click.option("--idle", type=SecondsType(), help="Close after so long without a visitor.")
@click.option("--owner", help="Who answers for it. Default: the login name.")
@click.option("--purpose", default="", help="Why it is open.")
@click.option(
    "--engine",
    multiple=True,
    metavar="ENGINE",
    shell_complete=complete_engine,
    help="What carries it; may be repeated, best first. Default: relay.",
)
@click.option(
    "--engine-option",
    multiple=True,
    type=PairType(),
    help="For the first engine, or ENGINE.KEY=VALUE; may be repeated.",
)
@click.option(
    "--via",
    metavar="ssh:[USER@]HOST[:PORT]",
    help="By plain ssh: a port of HOST leads here. Hosts to jump over come first, with commas.",
)
@click.option("--relay", metavar="URL", help="A relay's URL. Default: one in this process.")
@click.option("--enrol-token-file", type=FILE, help="The relay's enrolment token, needed once.")
@click.option("--relay-ca", type=FILE, help="Only these authorities may vouch for the relay.")
@click.option("--relay-fingerprint", metavar="SHA256", help="Only this certificate is the relay.")
@click.option(
    "--host-header",
    type=click.Choice(["preserve", "origin"]),
    help="What the origin sees as Host. Default: preserve; origin for mcp+http.",
)
@click.option("--health-path", metavar="PATH", help="What a proof asks the origin for.")
@click.option(
    "--health",
    type=click.Choice(["proof", "tcp"]),
    default="proof",
    show_default=True,
    help="tcp: proofs of a tcp tunnel connect to the origin each time.",
)
@click.option(
    "--peer",
    type=click.Choice(["machine", "loopback"]),
    help="From where an origin on loopback sees visitors come. Default: another address of this "
    "machine; loopback for tcp behind underpass reach.",
)
@click.option(
    "--pass-env",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_variable,
    help="A variable that a server behind mcp+stdio: gets, too; may be repeated.",
)
@click.option("--cors", multiple=True, metavar="ORIGIN", help="Answer preflights from ORIGIN.")
@click.option(
    "--tls",
    type=click.Choice(["terminate", "passthrough"]),
    default="terminate",
    show_default=True,
    help="Where visitors' TLS ends: at the relay, or here.",
)
@click.option("--tls-cert", type=FILE, help="Certificate chain for --tls passthrough.")
@click.option("--tls-key", type=FILE, help="Its private key.")
@click.option(
    "--timeout",
    type=SecondsType(bare=True),
    default=f"{OPEN_TIMEOUT_SECONDS:g}s",
    show_default=True,
    help="Until the first proof must have passed.",
)
@click.option("--oauth-provider", metavar="URL", help="OpenID Connect issuer; default: approve.")
@click.option("--oauth-client-id", metavar="ID", help="What the provider knows us by.")
@click.option("--oauth-client-secret-file", type=FILE, help="Its secret, if it has one.")
@click.option(
    "--oauth-allow",
    multiple=True,
    metavar="EMAIL|sub:SUBJECT",
    help="Who may pass the oauth gate by the provider's word; may be repeated.",
)
@click.option("--changing-url", is_flag=True, help="oauth even if the public URL changes.")
@click.option("--tell-visitor", is_flag=True, help="Tell the origin who passed its gate.")
@click.option("--token-file", type=FILE, help="Where visitors' token is written (0600).")
@click.option("--show-token", is_flag=True, help="Print visitors' token, too.")
@click.option(
    "--capture",
    type=click.Choice(["full", "heads", "off"]),
    default="full",
    show_default=True,
    help="What is recorded of exchanges, secrets always left out.",
)
@click.option("--no-capture", is_flag=True, help="Record nothing: --capture off.")
@click.option("--no-meter", is_flag=True, help="Count nothing. Not with --quota.")
@click.option(
    "--quota",
    multiple=True,
    metavar="10GB/month|600/minute",
    help="What it may carry; visitors beyond get 429. May be given once each.",
)
@click.option(
    "--metrics-listen",
    type=AddressType(),
    help="Serve /metrics and /healthz here, on a loopback address.",
)
@click.option("--run", is_flag=True, help="Start the origin: the words after --.")
@json_option
@click.pass_context
def command(ctx: click.Context, /, as_json: bool, **params: Any) -> None:
    """Open a tunnel to ORIGIN and keep it open until Ctrl-C or the end of its lease.

    ORIGIN is 3001, http://host:port/base, tcp://host:port, unix:///path, tcp+unix:///path,
    mcp+http://host:port/mcp, mcp+unix:///path or 'mcp+stdio:COMMAND …'. Its URL is printed once a
    proof has passed.
    """
    take_via(params)
    spec = declared(params)
    load_policy(config_dir() / POLICY_FILE).check(spec)
    options = chosen(params, run=ctx.meta["underpass.run"], as_json=as_json)
    if (spec.tls == "passthrough") != (
        options.tls_cert is not None and options.tls_key is not None
    ):
        raise click.UsageError("--tls passthrough, --tls-cert and --tls-key go together", ctx)
    check_observation(options)

    from underpass.cli.keeping import keep_open
    from underpass.cli.running import run

    ctx.exit(run(keep_open(spec, options)))


def declared(params: dict[str, Any]) -> TunnelSpec:
    """The tunnel that the parameters declare; raises the errors of the grammars."""
    origin = parse_origin(params["origin"])
    gates, rules = parse_gates(params["gate"])
    return TunnelSpec(
        origin=as_mcp(origin) if params["mcp"] else origin,
        name=params["name"] or "",
        gates=gates,
        rules=rules,
        lease=LeaseTerms(
            owner=params["owner"] or login_name(),
            purpose=params["purpose"],
            seconds=params["for"] or DEFAULT_LEASE,
            idle_seconds=params["idle"],
        ),
        engines=params["engine"] or ("relay",),
        public=params["public"],
        host_header=params["host_header"],
        health_path=params["health_path"],
        cors=tuple(params["cors"]),
        tls=params["tls"],
        health=params["health"],
        peer=params["peer"],
        pass_env=tuple(params["pass_env"]),
    )


def check_observation(options: OpenOptions) -> None:
    """Raise for what cannot go together, or must not be seen from elsewhere."""
    parse_quota(options.quota)
    if not options.meter and (options.quota or options.metrics_listen):
        raise click.UsageError("--no-meter goes neither with --quota nor with --metrics-listen")
    if options.metrics_listen is not None and not is_loopback(options.metrics_listen[0]):
        raise click.UsageError("--metrics-listen takes a loopback address, like 127.0.0.1:9100")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def take_via(params: dict[str, Any]) -> None:
    """``--via ENGINE:WHERE`` is short for that engine with its option ``via``."""
    if params["via"] is None:
        return
    engine, colon, where = params["via"].partition(":")
    if not colon or not where:
        raise click.UsageError("--via names an engine and where it leads, like ssh:alice@host")
    if engine not in params["engine"]:
        params["engine"] = (*params["engine"], engine)
    params["engine_option"] = (*params["engine_option"], (f"{engine}.via", where))


def chosen(params: dict[str, Any], *, run: tuple[str, ...], as_json: bool) -> OpenOptions:
    """How it is to be opened."""
    return OpenOptions(
        state_dir=state_dir(),
        runtime_dir=runtime_dir(),
        relay=RelayAccess(
            url=params["relay"], ca=params["relay_ca"], fingerprint=params["relay_fingerprint"]
        ),
        enrol_token_file=params["enrol_token_file"],
        engine_options=params["engine_option"],
        timeout=float(params["timeout"]),
        token_file=params["token_file"],
        show_token=params["show_token"],
        tls_cert=params["tls_cert"],
        tls_key=params["tls_key"],
        capture="off" if params["no_capture"] else params["capture"],
        meter=not params["no_meter"],
        quota=tuple(params["quota"]),
        metrics_listen=params["metrics_listen"],
        run=run,
        accept_danger=params["accept_danger"],
        tell_visitor=params["tell_visitor"],
        oauth=OAuthOptions(
            provider=params["oauth_provider"],
            client_id=params["oauth_client_id"],
            client_secret_file=params["oauth_client_secret_file"],
            allow=tuple(params["oauth_allow"]),
            changing_url=params["changing_url"],
        ),
        json=as_json,
    )
