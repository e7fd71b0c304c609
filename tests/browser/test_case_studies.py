"""Notebook 09 in a real JupyterLab: run all cells, then move the sliders and change the history by hand."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from contrec import paths

NOTEBOOK = "09_case_studies.ipynb"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of a JupyterLab that serves a copy of the notebook, so that autosave touches no file of the project."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copy(paths.notebooks() / NOTEBOOK, folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "ServerApp.ip": "127.0.0.1", "ServerApp.port": port, "ServerApp.port_retries": 0, "ServerApp.root_dir": folder,
        "IdentityProvider.token": "", "LabApp.expose_app_in_browser": True,
    }  # fmt: skip
    options = [f"--{name}={value}" for name, value in settings.items()]
    environment = os.environ | {"PYTHONPATH": str(paths.root()), "JUPYTER_CONFIG_DIR": str(folder / "config")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *options]
    with open(folder / "lab.log", "w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/api", timeout=5).close()
                break
            except (urllib.error.URLError, ConnectionError):
                assert server.poll() is None, (folder / "lab.log").read_text()
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def page(chromium, lab):
    """The notebook, all cells run, scrolled to the widgets; a console error about a widget fails the tests."""
    page = chromium.new_page(viewport={"width": 1500, "height": 1100})
    errors = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(f"{lab}/lab/tree/{NOTEBOOK}?reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    page.wait_for_function("window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel", timeout=60_000)
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_selector(".widget-slider", timeout=240_000, state="attached")
    page.locator(".widget-slider").first.scroll_into_view_if_needed()
    page.widget_errors = lambda: [e for e in errors if "widget" in e.lower()]
    yield page
    page.close()


def table(page) -> list[list[str]]:
    """Cells of the ranking that the widgets show, row by row, without its header."""
    rows = page.locator(".widget-html table").last.locator("tr").all()[1:]
    return [row.locator("td").all_inner_texts() for row in rows]


def until(page, happened, what: str, seconds: float = 20.0):
    """Wait for a condition; a loaded machine may need long, a failure says what did not come."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"after {seconds} s still not: {what}"
        page.wait_for_timeout(50)


def press(page, label: str, key: str, times: int) -> None:
    slider = page.locator(".widget-slider", has=page.locator(f".widget-label:has-text('{label}')"))
    slider.locator(".noUi-handle").focus()
    for _ in range(times):
        page.keyboard.press(key)


def value(page, label: str) -> float:
    slider = page.locator(".widget-slider", has=page.locator(f".widget-label:has-text('{label}')"))
    return float(slider.locator(".widget-readout").inner_text())


def choose(page, label: str, value: str) -> None:
    dropdown = page.locator(".widget-dropdown", has=page.locator(f".widget-label:has-text('{label}')"))
    dropdown.locator("select").select_option(value)


def history(page) -> list[str]:
    return page.locator(".widget-select-multiple option").all_inner_texts()


def test_sliders_and_history_change_the_ranking(page, tmp_path):
    first, own = table(page), history(page)
    assert [row[0] for row in first] == [str(n) for n in range(1, 11)]
    assert [row[1] for row in first] == [row[0] for row in first]  # before: the list is the user's own
    bonus = value(page, "π")  # the recipe's
    assert {row[5] for row in first} <= {"0.000", f"{bonus:.3f}"}
    press(page, "π", "ArrowRight", 30)
    more = f"{bonus + 0.3:.3f}"
    until(page, lambda: more in {row[5] for row in table(page)}, "30 steps of 0.01 on items that the text names")
    with_bonus = table(page)
    choose(page, "estimate", "mean")
    until(page, lambda: table(page) != with_bonus, "another list by the mean of samples")
    mean = table(page)
    press(page, "ω", "PageUp", 2)
    until(page, lambda: table(page) != mean, "another list by guidance")
    page.get_by_role("button", name="reset all").click()
    until(page, lambda: table(page) == first, "the first list after a reset")

    page.locator(".widget-select-multiple select").select_option(index=[0, 1])
    page.get_by_role("button", name="remove selected").click()
    until(page, lambda: len(history(page)) == len(own) - 2 and table(page) != first, "two items less")
    page.get_by_placeholder("words of a title").fill("river")
    found = page.locator(".widget-select:not(.widget-select-multiple) option")
    until(page, lambda: found.count() > 3, "titles with the word")
    page.get_by_role("button", name="add as newest").click()
    until(page, lambda: len(history(page)) == len(own) - 1, "one item more")
    assert "river" in history(page)[-1]

    page.locator("input[list]").fill("nobody")
    page.keyboard.press("Enter")
    until(page, lambda: page.get_by_text("unknown user 'nobody'").count(), "a message")
    page.screenshot(path=tmp_path / "widgets.png")
    assert not page.widget_errors()


def test_widgets_stay_inside_their_cell(page):
    """Nothing is cut off at the right, on a wide page and on a narrow one."""
    for width in (1500, 900):
        page.set_viewport_size({"width": width, "height": 1100})
        page.wait_for_timeout(500)
        edge = page.locator(".jp-OutputArea-output:has(.widget-slider)").bounding_box()
        for one in page.locator(".widget-slider, .widget-dropdown, .widget-select, .widget-text").all():
            box = one.bounding_box()
            assert box["x"] + box["width"] <= edge["x"] + edge["width"] + 1, (width, one.inner_text())
