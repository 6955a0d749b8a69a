"""A real browser for tests: the system's Chromium without a window. Where there is none, tests are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass
class Opened:
    """A page, with what it said in the console and what it asked the network for, from its first byte on."""

    page: Any
    said: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def refuse(self, dialog: Any) -> None:
        """Close what a script has popped up."""
        self.said.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def go(self, address: str | Path) -> Any:
        """Open a file or an address."""
        self.page.goto(address.resolve().as_uri() if isinstance(address, Path) else address)
        return self.page


class Browser:
    """Opens pages, each with a profile of its own."""

    def __init__(self, chromium: Any) -> None:
        self._chromium = chromium

    def open(self, **options: Any) -> Opened:
        """A blank page; ``options`` are playwright's of a context: color_scheme, viewport, ..."""
        opened = Opened(self._chromium.new_context(**options).new_page())
        opened.page.set_default_timeout(30_000)
        opened.page.on("console", lambda message: opened.said.append(f"{message.type}: {message.text}"))
        opened.page.on("pageerror", lambda error: opened.said.append(f"error: {error}"))
        opened.page.on("dialog", opened.refuse)
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        return opened


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Chromium, for one test: it shares no event loop with others."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser is installed ({', '.join(NAMES)})")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield Browser(chromium)
        finally:
            chromium.close()
