"""A real browser without a window, for the tests of the page: with Airflow behind it, or with answers that a test writes."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextmanager
def chromium_or_skip() -> Iterator[Browser]:
    """A browser. Skips when there is none, or fails where CONTRAIL_TEST_BROWSER=required says that there must be one."""
    path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if path is None:
        reason = f"no browser: none of {', '.join(_BROWSERS)} is on PATH (Debian: apt-get install chromium)"
        required = os.environ.get("CONTRAIL_TEST_BROWSER") == "required"
        (pytest.fail if required else pytest.skip)(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_OPTIONS)
        yield browser
        browser.close()
