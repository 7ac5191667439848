"""A real browser on the pages of a folder, and what it asked the server for."""

from __future__ import annotations

import base64
import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

DESKTOP, PHONE = (1280, 900), (390, 844)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
    "--disable-component-update",
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files, and keeps what was asked for."""

    requested: list[str] = []  # noqa: RUF012

    def log_message(self, format: str, *arguments: Any) -> None:
        self.requested.append(str(arguments[0]))


@contextmanager
def opened(page: Path, size: tuple[int, int] = DESKTOP) -> Iterator[Any]:
    """The page in Chromium; what the browser asked for is in ``requested`` of the driver."""
    from selenium import webdriver

    assert shutil.which("chromium"), "this test needs Debian's chromium and chromium-driver"
    handler = type("Handler", (Quiet,), {"requested": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(page.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        resize(browser, *size)
        browser.get(f"http://127.0.0.1:{server.server_address[1]}/{page.name}")
        browser.requested = handler.requested
        yield browser
    finally:
        browser.quit()
        server.shutdown()


def resize(browser: Any, width: int, height: int) -> None:
    """The size of the window as a page sees it."""
    given = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", given)


def open_all(browser: Any) -> None:
    browser.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")


def printed(browser: Any) -> bytes:
    """The page as a PDF on A4."""
    given = {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": True}
    return base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", given)["data"])
