"""``underpass wg example``: a topology to begin with."""

from __future__ import annotations

from typing import Final

import click

from underpass.cli.terminal import result

EXAMPLE: Final = """\
# A hub and two hosts behind NATs. Change the names and the endpoint, then:
#   underpass wg keys THIS-FILE

[network]
name = "agents"             # 1 to 10 of a-z, 0-9 and "-"
shape = "hub"               # hub; mesh: everybody meets everybody; chain: in the order below
subnet = "10.77.0.0/24"     # a private one that is used nowhere else
hub = "relay"
keepalive = 25              # seconds; keeps a NAT open
preshared = true            # one more secret for each pair

[hosts.relay]
endpoint = "relay.example.com:51820"    # where others find it: UDP must come in there

[hosts.laptop]              # without an endpoint: behind a NAT

[hosts.ci]
"""


@click.command("example", short_help="Print a topology to begin with.")
def command() -> None:
    """Print a topology file to begin with: underpass wg example > agents.toml"""
    result(EXAMPLE.rstrip("\n"))
