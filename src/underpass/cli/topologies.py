"""The topology file and the keys beside it, as the commands of ``underpass wg`` name them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from underpass.cli.options import Decorated

if TYPE_CHECKING:
    from underpass.drivers.wireguard.keys import Keyring
    from underpass.drivers.wireguard.topology import Topology

SCHEMA = "underpass/v1/wg"


def file_argument(function: Decorated) -> Decorated:
    """FILE, the topology."""
    kind = click.Path(dir_okay=False, path_type=Path)
    return click.argument("file", metavar="FILE", type=kind)(function)


def keys_option(function: Decorated) -> Decorated:
    """``--keys DIR``."""
    return click.option(
        "--keys",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="The directory with the keys. Default: FILE without its ending, .keys.",
    )(function)


def load_network(file: Path, keys: Path | None) -> tuple[Topology, Keyring]:
    """Read them. Raises ``TopologyInvalid``."""
    from underpass.drivers.wireguard.errors import TopologyInvalid
    from underpass.drivers.wireguard.keys import Keyring
    from underpass.drivers.wireguard.topology import parse_topology

    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise TopologyInvalid(str(file), why.lower()) from None
    topology = parse_topology(text, str(file))
    return topology, Keyring(keys, topology) if keys else Keyring.beside(file, topology)
