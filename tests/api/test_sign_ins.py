"""The API's routes for sign-ins: what waits, and the owner's word."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from underpass_tests_kept import KeptTunnel

from underpass.api.client import Call
from underpass.api.errors import Answered
from underpass.api.server import ApiServer

SIGN_IN = {"code": "BCDF-GHJK", "client": "A client"}


@pytest.fixture
def socket_path(runtime: Path) -> Path:
    return runtime / "open-tools-1.sock"


class Desk:
    """Where one sign-in waits."""

    def __init__(self) -> None:
        self.decided: list[tuple[str, bool]] = []

    def waiting(self) -> Sequence[Mapping[str, object]]:
        return (SIGN_IN,)

    def decide(self, code: str, *, approve: bool) -> Mapping[str, object] | None:
        self.decided.append((code, approve))
        return SIGN_IN if code == "BCDF-GHJK" else None


async def ask(path: Path, method: str, body: object = None, name: str = "tools") -> Any:
    def call() -> Any:
        with Call(path, method, f"/v1/tunnels/{name}/sign-ins", body) as made:  # type: ignore[arg-type]
            return made.answer()

    return await asyncio.to_thread(call)


async def test_what_waits_is_listed_and_decided(socket_path: Path):
    desk = Desk()
    tunnels = {"tools": KeptTunnel(), "plain": KeptTunnel("plain")}
    async with ApiServer(socket_path, tunnels, {"tools": desk}):
        listed = await ask(socket_path, "GET")
        assert listed == {"schema": "underpass/v1/sign-ins", "sign_ins": [SIGN_IN]}
        assert (await ask(socket_path, "GET", name="plain"))["sign_ins"] == []
        said = await ask(socket_path, "POST", {"code": "BCDF-GHJK", "approve": False})
        assert said == {"schema": "underpass/v1/sign-in", "approved": False, "sign_in": SIGN_IN}
        assert desk.decided == [("BCDF-GHJK", False)]
        for body, name in (
            ({"code": "XXXX-XXXX", "approve": True}, "tools"),
            ({"code": "BCDF-GHJK", "approve": True}, "plain"),
        ):
            with pytest.raises(Answered) as caught:
                await ask(socket_path, "POST", body, name)
            assert caught.value.code == "no-such-sign-in"
            assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "body",
    [{}, {"code": "BCDF-GHJK"}, {"code": 7, "approve": True}, {"code": "x" * 65, "approve": True}],
)
async def test_a_word_that_is_none_is_refused(socket_path: Path, body: object):
    desk = Desk()
    async with ApiServer(socket_path, {"tools": KeptTunnel()}, {"tools": desk}):
        with pytest.raises(Answered) as caught:
            await ask(socket_path, "POST", body)
    assert caught.value.code == "request-malformed"
    assert desk.decided == []
