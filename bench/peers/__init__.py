"""Every tunnel that a benchmark can measure, one file each."""

from __future__ import annotations

from bench.peers.base import Peer, Tunnel, Workplace
from bench.peers.bore import Bore
from bench.peers.chisel import Chisel
from bench.peers.direct import Direct
from bench.peers.frp import FrpHttp, FrpHttps, FrpTcp
from bench.peers.ssh import Ssh
from bench.peers.underpass import (
    UnderpassBare,
    UnderpassHttp,
    UnderpassHttps,
    UnderpassTcp,
    UnderpassTcpTls,
)

ALL: tuple[type[Peer], ...] = (
    Direct,
    Ssh,
    Bore,
    FrpTcp,
    FrpHttp,
    FrpHttps,
    Chisel,
    UnderpassTcp,
    UnderpassTcpTls,
    UnderpassHttp,
    UnderpassBare,
    UnderpassHttps,
)

__all__ = ["ALL", "Peer", "Tunnel", "Workplace"]
