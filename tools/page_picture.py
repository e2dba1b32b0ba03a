"""Draw docs/page.png: the development page in Chromium, on a desktop and on a phone (`make page-picture`)."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trustme
from playwright.sync_api import Browser

from tests.browser import chromium
from tests.serving import Authority, serving
from webhook.settings.open import open_source

TARGET = Path(__file__).parents[1] / "docs" / "page.png"
EXAMPLE = "s3"

_FRAME = """
<style>
  body { margin: 0; width: 1640px; height: 1000px; background: linear-gradient(135deg, #dfe9f6, #f4f6fa); }
  img { position: absolute; box-shadow: 0 12px 40px #17212e40; border-radius: 12px; }
  .desktop { left: 40px; top: 40px; width: 1340px; }
  .phone { right: 40px; bottom: 40px; width: 330px; border: 6px solid #17212e; border-radius: 28px; }
</style>
"""


def main() -> int:
    with TemporaryDirectory() as directory, chromium.running() as browser:
        desktop, phone = Path(directory) / "desktop.png", Path(directory) / "phone.png"
        with serving(Authority(trustme.CA()), Path(directory), settings=open_source("embedded"), page=True) as server:
            _draw(browser, server.url, desktop, viewport={"width": 1440, "height": 990})
            _draw(browser, server.url, phone, viewport={"width": 390, "height": 844}, color_scheme="dark")
        _compose(browser, desktop, phone)
    print(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes")
    return 0


def _draw(browser: Browser, url: str, target: Path, **options: Any) -> None:
    """Draw the page; where it is one column, from its result on. `options` are those of the browser's context."""
    with browser.new_context(base_url=url, ignore_https_errors=True, device_scale_factor=2, **options) as context:
        page = context.new_page()
        page.goto(f"/#{EXAMPLE}")
        page.locator("article").first.wait_for()
        if options["viewport"]["width"] < 900:
            page.evaluate("document.getElementById('result').scrollIntoView()")
        page.screenshot(path=target)


def _compose(browser: Browser, desktop: Path, phone: Path) -> None:
    with browser.new_context(viewport={"width": 1640, "height": 1000}) as context:
        page = context.new_page()
        frame = desktop.with_name("frame.html")
        images = f'<img class="desktop" src="{desktop.name}"><img class="phone" src="{phone.name}">'
        frame.write_text(f"<!doctype html>{_FRAME}{images}")
        page.goto(frame.as_uri())
        page.screenshot(path=TARGET)


if __name__ == "__main__":
    sys.exit(main())
