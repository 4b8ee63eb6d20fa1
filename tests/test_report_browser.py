"""The report in a real headless browser: loads silently, fetches nothing, answers pointer and keys, fits and prints."""

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import Browser, find_chromium
from eenn_rl.report import write_report
from small_run import scratch, small_run

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (set CHROMIUM to its path)")
pytest.importorskip("torch")


def report_of(name: str, *runs: Path) -> Path:
    path = scratch() / f"{name}.html"
    if not path.exists():
        write_report(runs, path)
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert CHROMIUM is not None
    with Browser(CHROMIUM, tmp_path_factory.mktemp("profile")) as found:
        found.resize(1280, 900)
        yield found


@pytest.fixture
def page(browser: Browser) -> Browser:
    browser.resize(1280, 900)
    browser.open(report_of("one", small_run()))
    return browser


def place(browser: Browser, selector: str) -> tuple[float, float]:
    """The middle of an element that is scrolled into view."""
    found = browser.run(
        f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView({{block: 'center', behavior: "
        "'instant'}); const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    return float(found[0]), float(found[1])


def tip(browser: Browser) -> str:
    return str(browser.run("document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent"))


def test_it_loads_without_a_word(page: Browser) -> None:
    """No error or warning on the console, and no request but for the file itself and data within it."""
    assert page.errors == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
    assert sum(url.startswith("file:") for url in page.requests) == 1


def test_the_marks_are_there(page: Browser) -> None:
    """Every distinct architecture is a mark; each verified network has its strip, timeline, energies and examples."""
    drawn = page.run("document.querySelectorAll('#r0-front-elp [data-i]').length")
    told = page.run("JSON.parse(document.getElementById('r0-data').textContent).accuracy.length")
    assert drawn == told == 200
    assert page.run("document.querySelectorAll('#r0-front-elp .measured').length") == 3  # two networks and the legend
    for kind in ("strip", "timeline", "energy", "rates"):
        assert page.run(f"document.querySelectorAll('svg[id$=-{kind}] rect').length") > 4, kind
    assert page.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert page.run("document.images.length") > 10


def test_hovering_tells_the_architecture(page: Browser) -> None:
    """Over a point of the front a tip shows its accuracy, its costs, and every exit."""
    page.hover(*place(page, "#r0-front-elp .frontpoint[data-i]"))
    text = tip(page)
    assert "accuracy" in text
    assert "nJ s" in text
    assert "classifier" in text
    page.hover(3, 3)
    assert tip(page) == ""


def test_hovering_tells_bars_and_blocks(page: Browser) -> None:
    """Blocks of a network and bars of a timeline say what they are."""
    page.hover(*place(page, "#r0-v1-strip rect[data-tip]"))
    assert "MACs" in tip(page)
    page.hover(*place(page, "#r0-v1-timeline rect[data-tip]"))
    assert "stage 1" in tip(page)


def test_it_works_with_the_keyboard(page: Browser) -> None:
    """Tab reaches the figure, arrow keys go from mark to mark with their tips, Escape closes them."""
    page.run("document.querySelector('#r0-front-elp [tabindex=\"0\"]').focus()")
    page.key("Home")
    seen = set()
    for _ in range(4):
        text = tip(page)
        assert text
        assert page.run("document.activeElement.getAttribute('aria-label')")
        seen.add(page.run("document.activeElement.getAttribute('aria-label')"))
        page.key("ArrowRight")
    assert len(seen) >= 2
    page.key("Escape")
    assert tip(page) == ""


def test_tab_stops_once_per_figure(page: Browser) -> None:
    """A figure with hundreds of marks is one stop of the Tab key."""
    stops = page.run("[...document.querySelectorAll('svg')].map(s => s.querySelectorAll('[tabindex=\"0\"]').length)")
    assert max(stops) == 1


def test_the_axis_can_be_chosen(page: Browser) -> None:
    """Energy and latency replace the energy-latency product, by a click."""
    shown = "[...document.querySelectorAll('.plot')].map(p => getComputedStyle(p).display !== 'none')"
    assert page.run(shown) == [True, False, False]
    page.click(*place(page, "label[for=r0-y-latency_s]"))
    assert page.run(shown) == [False, False, True]


@pytest.mark.parametrize("width", [360, 390, 768])
def test_it_fits_a_phone(page: Browser, width: int) -> None:
    """Nothing but figures and tables, which scroll on their own, is wider than a small screen."""
    page.resize(width, 740, phone=True)
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("parseFloat(getComputedStyle(document.querySelector('p')).fontSize)") >= 15


def test_it_prints(page: Browser) -> None:
    """The page prints, in a handful of sheets, with its figures."""
    found = base64.b64decode(page.call("Page.printToPDF", printBackground=True)["data"])
    assert found.startswith(b"%PDF")
    assert 2 <= found.count(b"/Type /Page\n") + found.count(b"/Type /Page ") <= 30


def test_paper_shows_everything(page: Browser) -> None:
    """In print all axes of the front are there, what is folded away is opened and closed again, controls are gone."""
    page.call("Emulation.setEmulatedMedia", media="print")
    try:
        shown = "[...document.querySelectorAll('.plot')].every(p => getComputedStyle(p).display === 'block')"
        assert page.run(shown)
        assert page.run("getComputedStyle(document.querySelector('nav')).display") == "none"
        folded = "document.querySelectorAll('details:not([open])').length"
        before = page.run(folded)
        assert before >= 3
        page.run("dispatchEvent(new Event('beforeprint'))")
        assert page.run(folded) == 0
        page.run("dispatchEvent(new Event('afterprint'))")
        assert page.run(folded) == before
    finally:
        page.call("Emulation.setEmulatedMedia", media="")


CONTRAST = """(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255);
  const light = (c) => c.map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const luminance = (c) => { const [r, g, b] = light(parts(c)); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const paper = luminance(getComputedStyle(document.body).backgroundColor);
  const ratio = (l) => (Math.max(l, paper) + 0.05) / (Math.min(l, paper) + 0.05);
  const all = (selector, property) =>
    [...document.querySelectorAll(selector)].map(element => getComputedStyle(element)[property]);
  const texts = all('p, h2, h3, td, th, summary, figcaption', 'color');
  const drawn = all('svg text:not(.inside, .insidelight)', 'fill');
  return Math.min(...new Set([...texts, ...drawn].map(c => ratio(luminance(c)))));
})()"""
"""The least contrast, by WCAG 2, of any text with the page's ground; text inside coloured boxes left out."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_light_and_dark_pages(page: Browser, scheme: str) -> None:
    """All text has a contrast of at least 4.5 (WCAG 2, level AA), by day and by night."""
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    try:
        dark = page.run("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
        assert dark == (scheme == "dark")
        assert page.run(CONTRAST) >= 4.5
    finally:
        page.call("Emulation.setEmulatedMedia", features=[])


def test_names_from_a_run_are_never_markup(browser: Browser, tmp_path: Path) -> None:
    """A run whose names are scripts and tags shows them as text: no script runs, no element appears."""
    run = tmp_path / "<img src=x onerror=document.title='owned'>"
    shutil.copytree(small_run(), run)
    results = (run / "verification.json").read_text()
    evil = "</script><script>document.title=1</script><svg onload=alert(1)>"
    subject = '"violations": [{"subject": ' + f'"{evil}", "demand": 1, "bound": 0, "unit": "{evil}"' + "}]"
    assert '"violations": []' in results or '"violations": [' in results
    first = results.index('"violations": [', results.index('"verified": ['))
    last = results.index("]", first)
    (run / "verification.json").write_text(results[:first] + subject + results[last + 1 :])
    browser.open(write_report([run], tmp_path / "report.html"))
    assert browser.errors == []
    assert "owned" not in browser.run("document.title").replace(run.name, "")
    assert browser.run("document.querySelectorAll('[onload], [onerror], img[src=x]').length") == 0
    assert evil in browser.run("document.body.textContent")


def test_two_runs_stand_side_by_side(browser: Browser) -> None:
    """A report of two runs begins with their comparison, and holds both."""
    browser.open(report_of("two", small_run(), small_run()))
    assert browser.errors == []
    assert browser.run("document.querySelectorAll('#comparison tbody tr').length") == 2
    assert browser.run("document.querySelectorAll('#compare-fronts [tabindex]').length") == 4
    browser.hover(*place(browser, "#r1-front-elp .frontpoint[data-i]"))
    assert "accuracy" in tip(browser)
