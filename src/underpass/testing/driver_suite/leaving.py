"""What must not be: anything that outlives its tunnel, and secrets where others could read them."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from contextlib import suppress
from dataclasses import asdict

from underpass.testing.canary import Canary
from underpass.testing.driver_bench import DriverBench, children, listening
from underpass.testing.driver_suite.steps import bearer, gone, url_of
from underpass.testing.driver_visits import ask
from underpass.testing.origins.http import HttpOrigin


class Leaving:
    """A part of ``DriverSuite``."""

    async def test_closing_leaves_no_process_port_file_or_task(self, bench: DriverBench) -> None:
        before, ports = set(children()), listening()
        async with HttpOrigin() as origin:
            tasks = asyncio.all_tasks()
            tunnel = await bench.open(f"{origin.port}")
            url = url_of(tunnel)
            await ask(bench, url, "/", bearer(tunnel))
            await tunnel.close()
            await tunnel.close()
            assert await gone(lambda: bench.leftovers(before)) == []
            assert (
                await gone(lambda: sorted(listening() - ports - {("127.0.0.1", origin.port)})) == []
            )
            ours = {task for task in asyncio.all_tasks() - tasks if "origin" not in task.get_name()}
            assert await gone(lambda: [task.get_name() for task in ours if not task.done()]) == []
            with suppress(OSError, EOFError, asyncio.IncompleteReadError):
                status = (await ask(bench, url, "/", bearer(tunnel))).status
                assert status >= 500 or status == 404, status  # some vendors' word for "nobody"

    async def test_no_secret_shows_in_words_variables_or_logs(self, bench: DriverBench) -> None:
        canary, heard = Canary(), Heard()
        logging.getLogger().addHandler(heard)
        former = logging.getLogger().level
        logging.getLogger().setLevel(logging.DEBUG)
        try:
            async with HttpOrigin() as origin:
                tunnel = await bench.open(f"{origin.port}")
                token = tunnel.access.token
                assert token is not None
                canary.watch_for("the visitors' token", token.reveal())
                for label, secret in bench.secrets().items():
                    canary.watch_for(label, secret)
                await ask(bench, url_of(tunnel), "/", bearer(tunnel))
                told = json.dumps(tunnel.status().to_dict()) + repr(tunnel.engine)
                plan = getattr(tunnel.engine, "plan", None)
                texts: dict[str, str | bytes] = {"log": "\n".join(heard.lines), "status": told}
                texts["plan"] = repr(plan)
                mine = f"{os.getpid()} "
                found = [
                    each for each in canary.scan(texts=texts) if not each.where.startswith(mine)
                ]
                assert found == [], [asdict(each) for each in found]
        finally:
            logging.getLogger().removeHandler(heard)
            logging.getLogger().setLevel(former)


class Heard(logging.Handler):
    """Every line that was logged."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.lines.append(self.format(record))
