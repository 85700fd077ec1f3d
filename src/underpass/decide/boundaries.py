"""What a tunnel is not for, and what is: answers too.

    load-balancing, certificates, container-networking, firewall, dns, service-discovery,
    file-sharing, media-streaming, routing

and two needs that no way should serve: a database that strangers can dial, and a constraint that
nothing keeps (``nothing-fits``, made where the ways are weighed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from underpass.decide.need import Audience, Auth, Need, Task


@dataclass(frozen=True, slots=True)
class Boundary:
    """Do not use a tunnel for this; use something else."""

    code: str
    why: str
    use: str


_TABLE: Final[Mapping[Task, tuple[str, str]]] = MappingProxyType(
    {
        Task.LOAD_BALANCING: (
            "a tunnel leads to one origin; spreading work over instances needs their health and "
            "their load",
            "a reverse proxy (nginx, Caddy, Traefik, HAProxy), with a tunnel in front of it if "
            "it must be reached from outside",
        ),
        Task.CERTIFICATES: (
            "a tunnel's door manages its own certificate at most",
            "a reverse proxy with ACME (Caddy, Traefik), or certbot or lego beside yours",
        ),
        Task.CONTAINERS: (
            "containers of one host or cluster have a network already",
            "Docker or Podman networks, or Kubernetes Services and a CNI plug-in",
        ),
        Task.FIREWALL: (
            "a tunnel goes through firewalls; it does not say who may talk to whom",
            "nftables or the cloud's security groups, and a zero-trust policy for identities",
        ),
        Task.DNS: (
            "a tunnel uses names and does not manage zones",
            "the zone's provider, by OctoDNS, DNSControl or Terraform",
        ),
        Task.DISCOVERY: (
            "inside a cluster services find one another without leaving it",
            "the cluster's DNS, or a service mesh (Istio, Linkerd, Consul)",
        ),
        Task.FILES: (
            "a file server behind a tunnel is slow, and breaks with the link",
            "object storage with signed addresses, NFS or Syncthing",
        ),
        Task.MEDIA: (
            "each detour adds delay and pays for every byte twice",
            "direct connections (WebRTC with TURN), or a CDN",
        ),
        Task.ROUTING: (
            "rules on paths, headers and versions belong to one place that knows all services",
            "a reverse proxy (nginx, Caddy, Traefik), with one tunnel in front of it",
        ),
    }
)

DATABASE_IN_PUBLIC: Final = Boundary(
    "database-in-public",
    "a database that strangers can dial is attacked within minutes, and its password is all that "
    "stands between",
    "the private side: `underpass advise --task reach --database`, or an explicit gate (--auth)",
)


def boundary_of(need: Need) -> Boundary | None:
    """The boundary that ``need`` crosses, if it does."""
    if entry := _TABLE.get(need.task):
        return Boundary(need.task.value, *entry)
    exposes = need.task is not Task.REACH and need.audience is Audience.PUBLIC
    if need.database and exposes and need.auth in (None, Auth.NONE):
        return DATABASE_IN_PUBLIC
    return None
