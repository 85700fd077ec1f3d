"""The constraints: each rule looks at one of them and says why a way breaks it, or nothing.

A rule never looks at another rule's constraint, so that one more constraint can only take ways
away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from underpass.decide.here import Here
from underpass.decide.need import HOUR, Audience, Auth, Need, Task, Traffic
from underpass.decide.quotas import Measure, Quotas
from underpass.decide.way import Way


@dataclass(frozen=True, slots=True)
class Case:
    """One way weighed for one need, here."""

    need: Need
    here: Here
    quotas: Quotas
    way: Way


@dataclass(frozen=True, slots=True)
class Rule:
    """One constraint."""

    code: str
    broken: Callable[[Case], str]
    """Why the way breaks it, for people; "" when it keeps it."""


def _task(case: Case) -> str:
    return "" if case.need.task in case.way.tasks else f"not for the task {case.need.task}"


def _traffic(case: Case) -> str:
    carried = ", ".join(sorted(case.way.traffic))
    return "" if case.need.traffic in case.way.traffic else f"carries only {carried}"


def _audience(case: Case) -> str:
    if case.need.task is Task.REACH or case.need.audience in case.way.audiences:
        return ""
    if case.need.audience is Audience.PRIVATE:
        return "its address can be dialled by everybody"
    return "has no address that strangers can dial"


def _visitor(case: Case) -> str:
    visitor = case.need.visitor
    if visitor is None or case.need.task is Task.REACH or visitor in case.way.visitors:
        return ""
    return f"a visitor of the kind {visitor} cannot come this way"


def _auth(case: Case) -> str:
    need = case.need
    if need.auth is None:
        return ""
    if (gate := case.way.gate(need.auth, need)) is None:
        return f"has no gate of the kind {need.auth} for {need.traffic}"
    if gate.serves(need):
        return ""
    return f"a visitor of the kind {need.visitor} cannot pass {gate.how}"


def _open_for_long(case: Case) -> str:
    need = case.need
    too_long = need.seconds is None or need.seconds > HOUR
    gate = case.way.gate(Auth.NONE, need)
    if need.auth is Auth.NONE and too_long and gate is not None and not gate.theirs:
        return (
            "underpass opens nothing without a gate for more than 1 h, unless public_limit in "
            "policy.toml says so"
        )
    return ""


def _domain(case: Case) -> str:
    wanted = case.need.own_domain
    return "cannot carry a domain of yours" if wanted and not case.way.own_domain else ""


def _name(case: Case) -> str:
    wanted = case.need.stable_name or case.need.seconds is None
    return "its address does not stay" if wanted and not case.way.stable_name else ""


def _session(case: Case) -> str:
    bound = case.quotas.bound(case.way.id, Measure.SESSION)
    if bound is None or bound.amount is None:
        return ""
    seconds = case.need.seconds
    return bound.sentence() if seconds is None or seconds > bound.amount else ""


def _streaming(case: Case) -> str:
    if case.need.streaming and not case.way.streams:
        return "does not deliver event streams as they are produced"
    return ""


def _over(case: Case, measure: Measure, wanted: int) -> str:
    bound = case.quotas.bound(case.way.id, measure)
    if bound is None or bound.amount is None:
        return ""
    left = case.here.left_of(bound.id)
    if left is not None and (left == 0 or wanted > left):
        return f"only {left} left of: {bound.says}"
    return f"over its quota: {bound.sentence()}" if wanted > bound.amount else ""


def _silence(case: Case) -> str:
    return _over(case, Measure.SILENCE, case.need.silence_seconds)


def _body(case: Case) -> str:
    return _over(case, Measure.BODY, case.need.payload_bytes)


def _transfer(case: Case) -> str:
    return _over(case, Measure.TRANSFER, max(case.need.monthly_bytes, case.need.payload_bytes))


def _requests(case: Case) -> str:
    return _over(case, Measure.REQUESTS, case.need.monthly_requests)


def _third_party(case: Case) -> str:
    if case.need.no_third_party and case.way.third_party:
        return f"{case.way.third_party} carries or brokers it"
    return ""


def _inspection(case: Case) -> str:
    if case.need.inspect and not (case.way.inspects and case.need.is_web):
        return "shows no requests"
    return ""


def _install(case: Case) -> str:
    if not case.need.no_install:
        return ""
    if case.way.own_server and not case.need.names.relay:
        return "its other side would have to be installed on your server"
    for program in case.way.programs:
        found = case.here.find(program)
        # ssh is part of macOS and of nearly every Linux; of nothing else can that be said.
        if found is None and (case.here.looked or program != "ssh"):
            return f"{program} would have to be installed"
    return ""


def _signup(case: Case) -> str:
    if not case.need.no_signup or not case.way.account:
        return ""
    if case.way.account in case.here.accounts and not case.way.paid:
        return ""
    return f"needs an account at {case.way.account}"


def _cost(case: Case) -> str:
    return "costs money" if case.need.free and case.way.paid else ""


def _return(case: Case) -> str:
    if case.need.persistent and not case.way.returns:
        return "does not come back by itself under the same name"
    return ""


def _network(case: Case) -> str:
    if case.need.whole_network and not case.way.whole_network:
        return "carries single services, not a network"
    return ""


def _resume(case: Case) -> str:
    if case.need.resumable and not case.way.resumes:
        return "exchanges in progress break with the link"
    return ""


def _database(case: Case) -> str:
    return "unencrypted on the way" if case.need.database and not case.way.encrypted else ""


def _server(case: Case) -> str:
    if case.way.own_server and case.here.own_server is False:
        return "needs a server of yours that visitors can dial"
    return ""


def _login(case: Case) -> str:
    if case.way.ssh_login and case.here.ssh_login is False:
        return "needs a login by SSH"
    return ""


def _origin(case: Case) -> str:
    origin = case.need.names.origin
    if origin is None or (origin.port and not origin.is_unix):
        return ""
    # The gatehouse dials whatever it is; of the engines' own programs few can.
    theirs = case.way.chosen(case.need).theirs
    bare = case.need.whole_network or case.need.traffic is Traffic.UDP
    return "cannot dial such an origin" if theirs or bare else ""


def _endpoints(case: Case) -> str:
    return _over(case, Measure.ENDPOINTS, 1)


RULES: Final = (
    Rule("task", _task),
    Rule("traffic", _traffic),
    Rule("audience", _audience),
    Rule("visitor", _visitor),
    Rule("auth", _auth),
    Rule("open-for-long", _open_for_long),
    Rule("own-domain", _domain),
    Rule("stable-name", _name),
    Rule("session", _session),
    Rule("streaming", _streaming),
    Rule("silence", _silence),
    Rule("payload", _body),
    Rule("transfer", _transfer),
    Rule("requests", _requests),
    Rule("no-third-party", _third_party),
    Rule("inspect", _inspection),
    Rule("no-install", _install),
    Rule("no-signup", _signup),
    Rule("free", _cost),
    Rule("persistent", _return),
    Rule("whole-network", _network),
    Rule("resumable", _resume),
    Rule("database", _database),
    Rule("own-server", _server),
    Rule("ssh-login", _login),
    Rule("endpoints", _endpoints),
    Rule("origin", _origin),
)


def broken_rules(case: Case) -> tuple[tuple[str, str], ...]:
    """Code and reason of each rule that the way breaks."""
    found = ((rule.code, rule.broken(case)) for rule in RULES)
    return tuple((code, why) for code, why in found if why)
