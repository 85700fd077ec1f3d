"""Where visitors and connectors come: the addresses that a relay gives out. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.loopback import is_loopback
from underpass.model.options import RelayOptions
from underpass.relay.server.errors import RelayMisconfigured
from underpass.relay.server.registry import NameRecord

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a relay is called. ``port`` is the public port that was bound."""

    host: str
    """The relay's own host: the domain, or the loopback address of a development relay."""
    port: int
    scheme: str
    dev: bool
    shows_port: bool
    """False behind a front proxy: it serves the scheme's own port."""

    @property
    def relay_url(self) -> str:
        """What connectors are given, and where the relay's own host is."""
        usual = {"https": 443, "http": 80}[self.scheme]
        shown = "" if self.port == usual or not self.shows_port else f":{self.port}"
        return f"{self.scheme}://{_bracketed(self.host)}{shown}"

    def tunnel_url(self, record: NameRecord) -> str:
        """Where visitors of a tunnel come; empty when they come by ``reach`` alone."""
        terms = record.terms
        if terms is None:
            return ""
        if terms.kind == "tcp":
            if record.port is None or terms.exposure != "open":
                return ""
            return f"tcp://{LOOPBACK if self.dev else _bracketed(self.host)}:{record.port}"
        if self.dev:
            return f"http://{LOOPBACK}:{record.port}"
        host = self.relay_url.removeprefix(f"{self.scheme}://")
        return f"{self.scheme}://{record.name}.{host}"


def check_options(options: RelayOptions) -> None:
    """Raise ``RelayMisconfigured`` for the first thing that does not fit together."""
    host = options.listen[0]
    if options.dev:
        if not is_loopback(host):
            raise RelayMisconfigured("a development relay listens on loopback alone")
        return
    if not options.domain:
        raise RelayMisconfigured("it needs --domain, or --dev on loopback")
    if (options.tls_cert is None) != (options.tls_key is None):
        raise RelayMisconfigured("--tls-cert and --tls-key go together")
    if options.tls_cert is None and not (is_loopback(host) and options.front_fingerprints):
        raise RelayMisconfigured(
            "it needs --tls-cert and --tls-key, or a front proxy on this machine that ends TLS"
            " (--front-fingerprint)"
        )


def addresses_of(options: RelayOptions, port: int) -> Addresses:
    """The addresses of a relay whose options have been checked."""
    fronted = bool(options.front_fingerprints or options.proxy_protocol_from)
    return Addresses(
        host=options.domain.lower() if options.domain else LOOPBACK,
        port=port,
        scheme="http" if options.dev else "https",
        dev=options.dev,
        shows_port=not fronted,
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
