"""A real browser for pages and widgets. CONTREC_BROWSER=required makes a missing one an error instead of a skip."""

import os
import shutil

import pytest


@pytest.fixture(scope="module")  # while playwright is started, no other event loop runs in this thread
def chromium():
    """A launched headless Chromium (playwright)."""
    missing = pytest.fail if os.environ.get("CONTREC_BROWSER") == "required" else pytest.skip
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed: pip install playwright")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        missing("no Chromium on the PATH: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
