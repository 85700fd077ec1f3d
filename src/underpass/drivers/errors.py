"""What can go wrong with engines and their programs."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.errors import Misuse, Refused, Setup, Unreachable

ENGINE_EXIT_CODE = 7


@dataclass(eq=False)
class EngineCannot(Refused):
    """The engine cannot do what the spec asks: found when planning, nothing was started."""

    engine: str
    what: str
    why: str

    code = "engine-cannot"
    exit_code = ENGINE_EXIT_CODE
    sentence = "cannot carry this tunnel with {engine}: {what}: {why}"
    hint_text = "change the spec, or let another engine carry it: --engine relay"


@dataclass(eq=False)
class EngineNotLoaded(Misuse):
    """There is a driver of that name, but it cannot be imported."""

    engine: str
    why: str

    code = "engine-not-loaded"
    sentence = "cannot load the driver for {engine!r}: {why}"
    hint_text = "a plug-in that brings it may be broken: pip show -f it, or uninstall it"


@dataclass(eq=False)
class EngineMissing(Setup):
    """The engine's program is not here, or cannot be used as it is."""

    engine: str
    why: str
    advice: str = "install it, or let another engine carry the tunnel: --engine relay"

    code = "engine-missing"
    exit_code = ENGINE_EXIT_CODE
    sentence = "cannot use {engine}: {why}"
    hint_text = "{advice}"


@dataclass(eq=False)
class DoorUnopened(Setup):
    """The gatehouse's own door, through which the engine hands visitors over, cannot be opened."""

    where: str
    why: str

    code = "door-unopened"
    sentence = "cannot open a door for the engine at {where}: {why}"
    hint_text = "choose a shorter or another directory: UNDERPASS_RUNTIME_DIR"


@dataclass(eq=False)
class EngineOptionInvalid(Misuse):
    """An option for an engine that it does not know, or whose value it cannot take."""

    engine: str
    option: str
    why: str

    code = "engine-option-invalid"
    sentence = "cannot use the option {option!r} of {engine}: {why}"
    hint_text = "docs/engines.md has the options of each engine"


@dataclass(eq=False)
class EngineRefused(Refused):
    """The engine's far end, or the program itself, said no; trying again does not help."""

    engine: str
    reason: str
    """Stable code of the observation."""
    why: str
    advice: str = ""

    code = "engine-refused"
    exit_code = ENGINE_EXIT_CODE
    sentence = "cannot carry the tunnel with {engine}: {why}"
    hint_text = "{advice}"

    @property
    def hint(self) -> str | None:
        """What to do, where the driver knows it."""
        return self.advice or None


@dataclass(eq=False)
class EngineAway(Unreachable):
    """The engine's program ended, or its far end does not answer; it is being tried again."""

    engine: str
    reason: str
    why: str
    advice: str = ""

    code = "engine-away"
    exit_code = ENGINE_EXIT_CODE
    sentence = "cannot carry the tunnel with {engine} yet: {why}"
    hint_text = "{advice}"

    @property
    def hint(self) -> str | None:
        """What to do, where the driver knows it."""
        return self.advice or None


@dataclass(eq=False)
class EngineKeepsEnding(Setup):
    """The engine's program ended again and again without a reason that waiting would cure."""

    engine: str
    times: int
    seconds: float
    why: str

    code = "engine-keeps-ending"
    exit_code = ENGINE_EXIT_CODE
    sentence = "cannot keep {engine} running: it ended {times} times in {seconds:g} s ({why})"


@dataclass(eq=False)
class TargetUnproved(Unreachable):
    """The engine carries, but what was to be made local does not greet as it should."""

    target: str
    why: str

    code = "target-unproved"
    exit_code = 5
    sentence = "cannot prove {target}: {why}"
    hint_text = "check that it runs, and what it is: --expect SERVICE, or --expect any"


@dataclass(eq=False)
class NoEngineFits(Refused):
    """Of the engines that were asked for, none can carry the tunnel."""

    reasons: str
    """Each engine with its reason."""

    code = "no-engine-fits"
    exit_code = ENGINE_EXIT_CODE
    sentence = "cannot carry this tunnel with any of the engines asked for: {reasons}"
    hint_text = "change the spec, or add an engine: --engine relay"
