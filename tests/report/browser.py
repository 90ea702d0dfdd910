"""A real browser without a screen, asked by its own protocol (Chrome DevTools)."""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import aiohttp

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--no-first-run", "--remote-debugging-port=0")  # fmt: skip
LATE_S = 60


class Browser:
    """Chromium with one page open, for as long as a `with` lasts.

    Args:
        page: an HTML file.
    """

    def __init__(self, page: Path) -> None:
        self._page = page

    def __enter__(self) -> Self:
        self._folder = tempfile.mkdtemp(prefix="browser-")
        command = ["chromium", *FLAGS, f"--user-data-dir={self._folder}", "about:blank"]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            command, stdout=quiet, stderr=quiet, env={**os.environ, "HOME": self._folder}
        )
        self._loop = asyncio.new_event_loop()
        try:
            self._run(self._open())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "_session"):
            self._run(self._session.close())
        self._loop.close()
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def ask(self, expression: str) -> Any:
        """The value of an expression, JSON-able."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        found = self._run(self._call("Runtime.evaluate", asked))
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        late = time.monotonic() + LATE_S
        while not self.ask(expression):
            assert time.monotonic() < late, f"not within {LATE_S} s: {expression}"
            time.sleep(0.05)

    def requests(self) -> list[str]:
        """What has been asked for, the page's own address first; but for data in the page."""
        self.ask("0")
        return [one for one in self._asked if not one.startswith(("data:", "blob:"))]

    def _run(self, waiting: Any) -> Any:
        return self._loop.run_until_complete(asyncio.wait_for(waiting, LATE_S))

    async def _open(self) -> None:
        said = Path(self._folder) / "DevToolsActivePort"
        while not said.exists() or len(said.read_text().splitlines()) < 2:
            assert self._process.poll() is None, "the browser has ended"
            await asyncio.sleep(0.05)
        port = said.read_text().splitlines()[0]
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = json.loads(await answer.text())
        (address,) = [one["webSocketDebuggerUrl"] for one in pages if one["type"] == "page"]
        self._line = await self._session.ws_connect(address, max_msg_size=0)
        self._number, self._asked = 0, list[str]()
        await self._call("Network.enable", {})
        await self._call("Page.enable", {})
        await self._call("Page.navigate", {"url": self._page.as_uri()})

    async def _call(self, method: str, asked: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        await self._line.send_json({"id": self._number, "method": method, "params": asked})
        while True:
            told = json.loads((await self._line.receive()).data)
            if told.get("method") == "Network.requestWillBeSent":
                self._asked.append(told["params"]["request"]["url"])
            if told.get("id") == self._number:
                assert "error" not in told, told
                result: dict[str, Any] = told["result"]
                return result
