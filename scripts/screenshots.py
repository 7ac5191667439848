"""The example report and the pictures of it in the docs, from the folder of a finished run.

    make demo
    python scripts/screenshots.py runs/photoswitch

Writes ``docs/example/report.html``, and ``docs/images/report.png`` and ``phone.png``: the head of the page on a desktop
and on a phone. Needs Chromium and its driver.
"""

from __future__ import annotations

import argparse
import base64
import shutil
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent.parent / "docs"
DESKTOP, PHONE = (1160, 1120), (390, 844)


def pictured(browser: Any, size: tuple[int, int], path: Path) -> None:
    """Write what a window of a size shows of the page, in two pixels for each on a phone."""
    width, height = size
    given = {"width": width, "height": height, "deviceScaleFactor": 2 if width < 600 else 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", given)
    data = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(base64.b64decode(data))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    report = parser.parse_args().run / "report.html"
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        browser.get(report.resolve().as_uri())
        pictured(browser, DESKTOP, DOCS / "images" / "report.png")
        pictured(browser, PHONE, DOCS / "images" / "phone.png")
    finally:
        browser.quit()
    (DOCS / "example").mkdir(exist_ok=True)
    shutil.copyfile(report, DOCS / "example" / "report.html")


if __name__ == "__main__":
    main()
