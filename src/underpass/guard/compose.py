"""How the verdicts of several gates become one: all of them, or any of several sets of them.

Gates that can say so at once are asked first; a body is held, or keys are fetched, only for a
visitor whom nothing else has let in. What is still owed is carried along as a function of the
verdict that comes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from underpass.guard.checks import Gate
from underpass.guard.holds import Hold
from underpass.guard.outcomes import PASSED, REFUSED, Deny, Later, NeedsBody, Outcome, Pass
from underpass.guard.peer import Peer
from underpass.http.messages import Headers, RequestHead

Choice = tuple[Gate, ...]
Choices = tuple[Choice, ...]
"""Any of these, of each all. ``((),)`` lets everybody in, ``()`` nobody."""

Ask = Callable[[Gate], Outcome]

_RANKS: Final = (503, 413, 401, 403)
# Of several refusals the one that tells a visitor most: to come back, to send less, to show more.


def judge_choices(choices: Choices, head: RequestHead, peer: Peer) -> Outcome:
    """The verdict of ``choices``."""
    return any_of(choices, lambda gate: gate.judge(head, peer))


def any_of(choices: Choices, ask: Ask) -> Outcome:
    """Pass if one choice passes: of several, the one that lasts longest. Whatever credential of
    ours another would have taken off at once is taken off too."""
    if len(choices) == 1:
        return all_of(choices[0], ask)
    passed: Pass | None = None
    denials: list[Deny] = []
    waiting: list[NeedsBody | Later] = []
    for choice in choices:
        outcome = all_of(choice, ask)
        if isinstance(outcome, Pass):
            passed = outcome if passed is None else _either(passed, outcome)
        elif isinstance(outcome, Deny):
            denials.append(outcome)
        else:
            waiting.append(outcome)
    return passed or _first_of(waiting, denials)


def all_of(gates: Sequence[Gate], ask: Ask, so_far: Pass = PASSED) -> Outcome:
    """Pass if every gate passes. One that can say no at once is heard before any that must wait."""
    waiting: list[NeedsBody | Later] = []
    for gate in gates:
        outcome = named(ask(gate), gate)
        if isinstance(outcome, Deny):
            return outcome
        if isinstance(outcome, Pass):
            so_far = both(so_far, outcome)
        else:
            waiting.append(outcome)
    return _every_one(waiting, so_far)


def then(outcome: Outcome, go_on: Callable[[Pass | Deny], Outcome]) -> Outcome:
    """``go_on`` with the verdict, now or when it is there."""
    if isinstance(outcome, NeedsBody):
        decide = outcome.decide
        return NeedsBody(outcome.limit, lambda body: then(decide(body), go_on))
    if isinstance(outcome, Later):
        wait = outcome.wait

        async def wait_and_go_on() -> Outcome:
            return then(await wait(), go_on)

        return Later(wait_and_go_on, outcome.seconds)
    return go_on(outcome)


def named(outcome: Outcome, gate: Gate) -> Outcome:
    """``outcome``, in which a refusal says that it comes from ``gate``."""
    if isinstance(outcome, Pass):
        return outcome
    if isinstance(outcome, Deny):
        return outcome if outcome.gate else replace(outcome, gate=gate.kind)
    return then(outcome, lambda verdict: named(verdict, gate))


def both(first: Pass, second: Pass) -> Pass:
    """What two passes amount to that are both needed: it ends when either does. Where they differ
    in target or identity, the first counts."""
    if first is PASSED:
        return second
    if second is PASSED:
        return first
    return _joined(first, second, min(first.until, second.until), first.holds + second.holds)


def _either(first: Pass, second: Pass) -> Pass:
    """What two passes amount to of which either would do."""
    lasting = max(first, second, key=lambda said: (said.until, not said.holds))
    return _joined(first, second, lasting.until, lasting.holds)


def _joined(first: Pass, second: Pass, until: float, holds: tuple[Hold, ...]) -> Pass:
    strip = first.strip + tuple(name for name in second.strip if name not in first.strip)
    target, identity = first.target or second.target, first.identity or second.identity
    return Pass(strip, target, identity, until, holds)


def _every_one(waiting: list[NeedsBody | Later], so_far: Pass) -> Outcome:
    if not waiting:
        return so_far

    def go_on(verdict: Pass | Deny) -> Outcome:
        if isinstance(verdict, Deny):
            return verdict
        return _every_one(waiting[1:], both(so_far, verdict))

    return then(waiting[0], go_on)


def _first_of(waiting: list[NeedsBody | Later], denials: list[Deny]) -> Outcome:
    if not waiting:
        return _merged(denials)

    def go_on(verdict: Pass | Deny) -> Outcome:
        if isinstance(verdict, Pass):
            return verdict
        return _first_of(waiting[1:], [*denials, verdict])

    return then(waiting[0], go_on)


def _merged(denials: list[Deny]) -> Deny:
    if not denials:
        return REFUSED
    for status in _RANKS:
        chosen = [deny for deny in denials if deny.status == status]
        if chosen:
            challenge: Headers = []
            for deny in chosen:
                challenge += [line for line in deny.challenge if line not in challenge]
            gates = dict.fromkeys(deny.gate for deny in chosen if deny.gate)
            return Deny(status, chosen[0].code, challenge, "|".join(gates))
    return denials[0]
