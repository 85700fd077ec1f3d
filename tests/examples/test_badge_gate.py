"""The example of a plug-in's gate: it passes the suite, and guards a path like any other."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from underpass.guard import plugged
from underpass.guard.gates import Deny, Materials, Outcome, Pass, Peer, forge
from underpass.guard.secrets import Secret
from underpass.http.messages import RequestHead
from underpass.model.errors import UnderpassError
from underpass.model.gate_rules import parse_gates
from underpass.model.gates import GateSpec, parse_gate
from underpass.testing.gate_bench import GateBench, Shown
from underpass.testing.gate_suite import GateSuite

FILE = Path(__file__).resolve().parents[2] / "examples" / "badge_gate.py"
SECRET = "the house's own secret"
TEXT = "acme.badge:env:BADGE_SECRET"


def load() -> ModuleType:
    found = importlib.util.spec_from_file_location("badge_gate", FILE)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


badge_gate = load()


def badge(name: bytes = b"alice") -> bytes:
    signed: bytes = badge_gate.sign(name, Secret(SECRET))
    return name + b"." + signed


class BadgeBench(GateBench):
    text = TEXT
    hidden = (SECRET.encode(), badge())
    maker = staticmethod(badge_gate.make_badge)  # type: ignore[assignment]

    def materials(self) -> Materials:
        return Materials(environment={"BADGE_SECRET": SECRET})

    def honest(self) -> Shown:
        return Shown([(b"Badge", badge())])


class TestBadge(GateSuite):
    @pytest.fixture
    def bench(self) -> GateBench:
        return BadgeBench()


# How plug-ins come in.


class Install:
    """Puts packages with entry points where Python looks for installed ones."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._place = place
        monkeypatch.syspath_prepend(str(place))

    def __call__(self, name: str, value: str) -> None:
        shutil.copy(FILE, self._place)
        info = self._place / f"acme_{name.replace('.', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{plugged.GROUP}]\n{name} = {value}\n")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    yield Install(tmp_path, monkeypatch)
    sys.modules.pop("badge_gate", None)


def guard_for(text: str) -> object:
    gates, rules = parse_gates([text])
    materials = Materials(environment={"BADGE_SECRET": SECRET})
    return forge(gates, rules=rules, materials=materials)


def test_an_installed_gate_is_found_by_its_entry_point(install: Install) -> None:
    install("acme.badge", "badge_gate:make_badge")
    gates, rules = parse_gates([f"/staff/*={TEXT}", "/=open"])
    materials = Materials(environment={"BADGE_SECRET": SECRET})
    guard = forge(gates, rules=rules, materials=materials).guard
    head = RequestHead(b"GET", b"/staff/x", b"h", [(b"Badge", badge())])
    assert guard.judge_http(head, Peer("")) == Pass((b"badge",), identity="acme.badge:alice")
    stranger = RequestHead(b"GET", b"/staff/x", b"h", [])
    assert isinstance(guard.judge_http(stranger, Peer("")), Deny)


def test_only_a_gate_that_is_named_is_loaded(install: Install) -> None:
    install("evil.gate", "no_such_module:make")
    install("acme.badge", "badge_gate:make_badge")
    assert forge([parse_gate("bearer")]).guard.kinds == ("bearer",)
    with pytest.raises(UnderpassError) as caught:
        guard_for("evil.gate")
    assert caught.value.code == "gate-not-loaded"
    assert "no_such_module" in caught.value.message
    assert "badge_gate" not in sys.modules


def test_a_gate_that_nobody_brings_is_unknown() -> None:
    with pytest.raises(UnderpassError) as caught:
        guard_for(TEXT)
    assert caught.value.code == "gate-unknown"


def test_a_kind_that_somebody_else_must_make_is_not_made_here() -> None:
    with pytest.raises(UnderpassError) as caught:
        guard_for("oauth")
    assert caught.value.code == "gate-not-made"


def test_a_plug_in_cannot_take_a_built_in_gates_name(install: Install) -> None:
    install("bearer", "badge_gate:make_badge")
    assert forge([parse_gate("bearer")]).guard.kinds == ("bearer",)


def test_what_a_maker_refuses_is_told_and_what_it_breaks_with_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(plugged._registered, "acme.badge", badge_gate.make_badge)
    with pytest.raises(UnderpassError) as caught:
        guard_for("acme.badge:hunter2")
    assert caught.value.code == "gate-malformed"
    assert "hunter2" not in caught.value.message

    def broken(spec: GateSpec, materials: Materials) -> object:
        raise RuntimeError("out of order")

    monkeypatch.setitem(plugged._registered, "acme.badge", broken)  # type: ignore[misc]
    with pytest.raises(UnderpassError) as caught:
        guard_for(TEXT)
    assert caught.value.code == "gate-not-loaded"


class Foreign:
    """A gate that does as the test says."""

    kind, text = "acme.badge", TEXT

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.seen: list[RequestHead] = []

    def judge(self, head: RequestHead, peer: Peer) -> Outcome:
        self.seen.append(head)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]


@pytest.mark.parametrize("answer", [RuntimeError("bug"), None, True, "pass", KeyError("x")])
def test_a_foreign_gate_that_fails_lets_nobody_in(
    monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    monkeypatch.setitem(plugged._registered, "acme.badge", lambda spec, _: Foreign(answer))
    made = forge([parse_gate(TEXT)]).guard
    outcome = made.judge_http(RequestHead(b"GET", b"/", b"h", []), Peer(""))
    assert outcome == Deny(503, "gate-away")


def test_a_foreign_gate_sees_no_claim_that_the_origin_will_not_see(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    foreign = Foreign(Pass())
    monkeypatch.setitem(plugged._registered, "acme.badge", lambda spec, _: foreign)
    made = forge([parse_gate(TEXT)]).guard
    claims = [(b"X-Forwarded-User", b"admin"), (b"X-Real-IP", b"127.0.0.1"), (b"Accept", b"*/*")]
    made.judge_http(RequestHead(b"GET", b"/", b"h", claims), Peer(""))
    assert foreign.seen[0].headers == [(b"Accept", b"*/*")]
