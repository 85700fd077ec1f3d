"""A headless Chromium, driven over its DevTools protocol by the few commands that a walk needs."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from pathlib import Path
from typing import Any

from tests.e2e.stage import PATIENCE, Program, Stage, tool
from websockets.asyncio.client import ClientConnection, connect

WIDTH, HEIGHT = 640, 720


class Browser:
    """One browser with one page."""

    def __init__(self, socket: ClientConnection, program: Program) -> None:
        self._socket = socket
        self._program = program
        self._numbers = itertools.count(1)
        self._session = ""
        self.requested: list[str] = []
        """Addresses of everything that pages have loaded."""
        self.complaints: list[str] = []
        """What the browser wrote to its console."""

    @classmethod
    async def start(cls, stage: Stage) -> Browser:
        """Start it, with a blank page."""
        program: Program = await stage.spawn(
            *(tool("chromium"), "--headless=new", "--no-sandbox", "--disable-gpu"),
            *("--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server"),
            *(f"--user-data-dir={stage.home / 'chromium'}", "--remote-debugging-port=0"),
            *(f"--window-size={WIDTH},{HEIGHT}", "--hide-scrollbars", "about:blank"),
        )
        await program.until(lambda: any("DevTools listening on" in line for line in program.err))
        line = next(line for line in program.err if "DevTools listening on" in line)
        socket = await connect(line.split()[-1], max_size=1 << 24, proxy=None)
        made = cls(socket, program)
        targets = (await made._call("Target.getTargets"))["targetInfos"]
        target = next(each["targetId"] for each in targets if each["type"] == "page")
        attached = await made._call("Target.attachToTarget", targetId=target, flatten=True)
        made._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            await made._call(f"{domain}.enable")
        return made

    async def go(self, url: str) -> None:
        """Go to ``url`` and wait until it is there."""
        await self._call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def text(self) -> str:
        """What the page says."""
        return str(await self.value("document.body ? document.body.innerText : ''"))

    async def value(self, expression: str) -> Any:
        """What an expression is worth in the page; None while it changes."""
        told = await self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        return told.get("result", {}).get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression holds in the page, whichever page that is by then."""
        async with asyncio.timeout(PATIENCE):
            while not await self.value(expression):  # noqa: ASYNC110  pages come and go
                await asyncio.sleep(0.05)

    async def click(self, selector: str) -> None:
        """Press something."""
        await self.value(f"document.querySelector({json.dumps(selector)}).click()")

    async def screenshot(self, path: Path) -> None:
        """Keep what can be seen."""
        told = await self._call("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(told["data"]))

    async def close(self) -> None:
        """End it."""
        await self._socket.close()
        await self._program.stop()

    async def _call(self, method: str, **params: object) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, object] = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        await self._socket.send(json.dumps(message))
        async with asyncio.timeout(PATIENCE):
            while True:
                told = json.loads(await self._socket.recv())
                if told.get("id") == number:
                    return dict(told.get("result", {}))
                self._note(told)

    def _note(self, told: dict[str, Any]) -> None:
        if told.get("method") == "Network.requestWillBeSent":
            self.requested.append(told["params"]["request"]["url"])
        elif told.get("method") == "Log.entryAdded":
            self.complaints.append(told["params"]["entry"]["text"])
