"""The report in a real Chromium: it loads nothing, fits a phone, can be read in light and dark, and its links work.

The browser is the system's. Without one these tests skip; CONTREC_BROWSER=required makes that a failure.
"""

import json
import os
import shutil

import pytest

from contrec import paths
from contrec.report import page

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
HOSTILE = "<script>window.hit = 1</script><img src='http://127.0.0.1:9/x.png' onerror='window.hit = 1'>"
# Every element that has text of its own: its words, size, and contrast of its colour with what lies behind it (WCAG)
TEXTS = """() => {
  const parse = c => { const n = c.match(/[\\d.]+/g).map(Number); return {rgb: n.slice(0, 3), a: n[3] ?? 1} };
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = rgb => { const [r, g, b] = rgb.map(v => linear(v / 255)); return .2126 * r + .7152 * g + .0722 * b };
  const behind = e => {
    for (; e; e = e.parentElement) {
      const {rgb, a} = parse(getComputedStyle(e).backgroundColor);
      if (a === 1) return rgb;
      if (a > 0) throw new Error('half-transparent: ' + e.outerHTML.slice(0, 99));
    }
    return [255, 255, 255] };
  const found = [];
  for (const e of document.body.querySelectorAll('*')) {
    const own = [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join(' ').trim();
    if (!own || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), [a, b] = [light(parse(style.color).rgb), light(behind(e))];
    found.push({words: own.slice(0, 60), size: parseFloat(style.fontSize), bold: Number(style.fontWeight) >= 700,
                contrast: (Math.max(a, b) + .05) / (Math.min(a, b) + .05)});
  }
  return found }"""
OUTSIDE = """() => [...document.body.querySelectorAll('*')].filter(e => !e.closest('.scroll > *') &&
  e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def browser():
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next(filter(None, map(shutil.which, names)), None)
    required = os.environ.get("CONTREC_BROWSER") == "required"
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        assert not required, "CONTREC_BROWSER=required, but playwright is not installed"
        pytest.skip("playwright is not installed: pip install -c constraints.txt -e '.[tests]'")
    if executable is None:
        assert not required, f"CONTREC_BROWSER=required, but none of {', '.join(names)} is installed"
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=executable, headless=True, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The report of this project's records and of its notebooks as they are stored, with one hostile output added."""
    folder = tmp_path_factory.mktemp("run")
    for source in paths.notebooks().glob("*.ipynb"):
        notebook = json.loads(source.read_text(encoding="utf-8"))
        html = f"<table><tr><td>{HOSTILE}</td><td>{'wide ' * 200}</td></tr></table>{HOSTILE}"
        outputs = [{"output_type": "display_data", "data": {"text/html": html}}]
        outputs.append({"output_type": "stream", "name": "stdout", "text": HOSTILE + "x" * 500})
        tagged = {"cell_type": "code", "source": "", "metadata": {"tags": ["report"]}, "outputs": outputs}
        heading = {"cell_type": "markdown", "source": f"## {HOSTILE}", "metadata": {}}
        notebook["cells"] += [heading, tagged] if source.stem == "00_quickstart" else []
        (folder / source.name).write_text(json.dumps(notebook), encoding="utf-8")
        (folder / f"{source.stem}.html").write_text("<title>executed</title>")
    return page.write(folder, "planted", "tiny")


@pytest.fixture
def opened(browser, file):
    """A function that opens the page; afterwards nothing may have been loaded, reported or run."""
    contexts, requests, complaints = [], [], []

    def open_page(viewport, scheme="light"):
        contexts.append(browser.new_context(viewport=viewport, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(file.as_uri())
        return page

    yield open_page
    hits = [page.evaluate("window.hit") for context in contexts for page in context.pages]
    for context in contexts:
        context.close()
    left = [url[:100] for url in requests if not url.startswith("data:") and url.split("#")[0] != file.as_uri()]
    assert not left and not complaints and set(hits) == {None}


def unfold(page):
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_it_fits_the_screen_and_tables_scroll_inside(opened, viewport):
    page = opened(viewport)
    for _ in range(2):  # as it opens, then with all that can be opened
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        assert page.evaluate(OUTSIDE) == []
        unfold(page)
    page.evaluate("scrollTo(300, 0)")
    assert page.evaluate("scrollX") == 0
    wide = "[...document.querySelectorAll('.scroll')].filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth)"
    moved = page.evaluate(f"{wide}.map(e => {{ e.scrollLeft = 50; return e.scrollLeft }})")
    assert len(moved) > 5 and min(moved) > 0 if viewport == PHONE else moved == []
    assert page.evaluate(f"{wide}.every(e => e.tabIndex === 0 && e.getAttribute('aria-label'))")


def test_images_are_decoded_and_described(opened):
    page = opened(PHONE)
    page.evaluate("Promise.all([...document.images].map(i => i.decode()))")
    images = page.evaluate("[...document.images].map(i => [i.naturalWidth, i.getBoundingClientRect().width, i.alt])")
    recorded = len(list(paths.figures().glob("*.svg")))
    assert len(images) > recorded >= 6
    assert all(natural > 0 and 200 < shown <= 390 and alt.strip() for natural, shown, alt in images)


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_the_contents_lead_to_every_section(opened, viewport):
    page = opened(viewport)
    page.emulate_media(reduced_motion="reduce")  # no gliding: the place is reached at once
    links = page.locator("nav a")
    assert links.count() == page.locator("main section").count() > 10
    for n in range(links.count()):
        links.nth(n).click()
        anchor = page.evaluate("decodeURIComponent(location.hash.slice(1))")
        top = page.evaluate("a => document.getElementById(a).getBoundingClientRect().top", anchor)
        assert 0 <= top < viewport["height"], f"#{anchor} is {top} px down the screen"


def test_executed_notebooks_are_beside_it(opened, file):
    page = opened(DESK)
    links = page.evaluate("[...document.querySelectorAll('.notebooks a')].map(a => a.href)")
    assert links == [path.with_suffix(".html").as_uri() for path in sorted(file.parent.glob("*.ipynb"))]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(opened, scheme):
    page = opened(PHONE, scheme)
    unfold(page)
    texts = page.evaluate(TEXTS)
    assert len(texts) > 1000
    assert [t for t in texts if t["size"] < 14] == []
    large = lambda t: t["size"] >= 24 or (t["bold"] and t["size"] >= 18.66)  # noqa: E731  (WCAG 2.2, 1.4.3)
    assert [t for t in texts if t["contrast"] < (3 if large(t) else 4.5)] == []


def test_dark_is_dark(opened):
    shade = {s: opened(DESK, s).evaluate("getComputedStyle(document.body).backgroundColor") for s in ("light", "dark")}
    level = {scheme: sum(map(int, colour[4:-1].split(","))) for scheme, colour in shade.items()}
    assert level["dark"] < 100 and level["light"] > 650
