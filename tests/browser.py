"""Drives the installed Chromium through Playwright: what a page loads, logs and shows, without any network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import CDPSession, ConsoleMessage, Page, Playwright, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-component-update",
    "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP * 0.0.0.0, EXCLUDE 127.0.0.1",
)
WAIT_S = 60.0


class _Chromium:
    """Playwright and Chromium, whose start takes a second: shared by all that are open at the same time.

    Playwright allows one of it in a thread.
    """

    def __init__(self) -> None:
        self._users = 0
        self._playwright: Playwright | None = None
        self._chromium: Chromium | None = None

    def start(self) -> Chromium:
        if self._chromium is None:
            assert CHROMIUM is not None
            self._playwright = sync_playwright().start()
            try:
                self._chromium = self._playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
            except BaseException:
                self._playwright.stop()
                raise
        self._users += 1
        return self._chromium

    def stop(self) -> None:
        self._users -= 1
        if self._users == 0 and self._chromium is not None and self._playwright is not None:
            try:
                self._chromium.close()
            finally:
                self._playwright.stop()
                self._chromium = self._playwright = None


_chromium = _Chromium()


@contextmanager
def kept_open() -> Iterator[None]:
    """Keep Chromium for the browsers that are opened meanwhile; no asyncio can run in this thread until the end."""
    _chromium.start()
    try:
        yield
    finally:
        _chromium.stop()


class Browser:
    """One page in a profile of its own, which shares nothing with other pages' but the process; a context manager.

    Attributes:
        page: The page, for what the methods below do not cover.
        requests: URLs the page asked for.
        problems: Console errors, exceptions and policy violations.
    """

    page: Page

    def __init__(
        self, width: int = 1280, height: int = 900, dark: bool = False, scripts: bool = True
    ) -> None:
        self.requests: list[str] = []
        self.problems: list[str] = []
        self._size = (width, height)
        self._dark = dark
        self._scripts = scripts

    def __enter__(self) -> Browser:
        chromium = _chromium.start()
        try:
            width, height = self._size
            self._context = context = chromium.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if self._dark else "light",
                java_script_enabled=self._scripts,
                accept_downloads=True,
            )
            self.page = context.new_page()
            self.page.set_default_timeout(WAIT_S * 1000)
            self._cdp: CDPSession = context.new_cdp_session(self.page)
        except BaseException:
            _chromium.stop()
            raise
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._context.close()
        finally:
            _chromium.stop()

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(message.text)

    def resize(self, width: int, height: int) -> None:
        """Set the size of the viewport in CSS pixels."""
        self.page.set_viewport_size({"width": width, "height": height})

    def open(self, page: Path | str, fragment: str = "") -> None:
        """Load a local page, or a URL, and wait until it has loaded."""
        url = page.resolve().as_uri() if isinstance(page, Path) else page
        self.page.goto("about:blank")
        self.page.goto(url + fragment, wait_until="load")

    def run(self, script: str) -> Any:
        """Value of a JavaScript expression; promises are awaited.

        It is evaluated through the debugger, so that the page's policy does not forbid it, nor that the page itself
        may not run scripts.
        """
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def until(self, script: str, seconds: float = WAIT_S) -> Any:
        """Wait until a JavaScript expression is truthy, and return its value."""
        waited = 0.0
        while not (value := self.run(script)):
            if waited > seconds:
                raise AssertionError(f"never true: {script}")
            self.page.wait_for_timeout(50)
            waited += 0.05
        return value

    def screenshot(self, path: Path, full: bool = True) -> None:
        """Save what the page looks like as PNG."""
        self.page.screenshot(path=path, full_page=full)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one DevTools command and wait for its answer."""
        return dict(self._cdp.send(method, params))
