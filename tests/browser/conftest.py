"""Chromium for the tests of this directory, and the page of a server in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import chromium
from tests.controlplane.console import ObtainError
from tests.serving import Running, serving
from webhook.settings.open import open_source

HERE = Path(__file__).parent
TIMEOUT_MILLISECONDS = 60_000
expect.set_options(timeout=TIMEOUT_MILLISECONDS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this directory. The hook receives the tests of the whole run."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("slow")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if needed := chromium.missing():
        pytest.skip(f"the tests in a browser need {needed}")
    try:
        chromium.obtain()
    except (ObtainError, OSError) as error:
        pytest.fail(f"Chromium cannot be obtained: {error}", pytrace=False)
    with chromium.running() as browser:
        yield browser


@pytest.fixture(scope="package")
def server(authority, tmp_path_factory) -> Iterator[Running]:
    with serving(authority, tmp_path_factory.mktemp("page"), settings=open_source("embedded"), page=True) as server:
        yield server


@pytest.fixture
def context_options() -> dict[str, object]:
    """Options of the browser's context, for tests to override."""
    return {"viewport": {"width": 1440, "height": 1000}}


@pytest.fixture
def expected_errors() -> list[str]:
    """Words of the browser's errors that a test causes."""
    return []


@pytest.fixture
def page(browser, server, context_options, expected_errors) -> Iterator[Page]:
    """A page of the server. At the end, it had no error, and asked no other server for anything."""
    with browser.new_context(ignore_https_errors=True, base_url=server.url, **context_options) as context:
        context.set_default_timeout(TIMEOUT_MILLISECONDS)
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: None if _is_ours(request.url, server) else problems.append(request.url))
        yield page
        assert [each for each in problems if not any(words in each for words in expected_errors)] == []


def _is_ours(url: str, server: Running) -> bool:
    return url.startswith(f"{server.url}/")
