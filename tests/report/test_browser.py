"""The page in a real browser: it draws, sorts and filters, complains about nothing and asks the network for nothing."""

import json
import shutil
import time

import pytest

from lussac.report import write_report

from .conftest import NASTY

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser):
    """Return a function that opens a page; at the end nothing must have gone wrong on it, and nothing asked for."""
    heard, asked, pages = [], [], []

    def open_page(file, width=1280, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        pages.append(page)
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("dialog", lambda dialog: heard.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        return page

    yield open_page
    for page in pages:
        page.close()
    assert heard == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    assert sum(url.startswith("file:") for url in asked) == len(pages)


def column(page, place, number):
    return page.locator(f"#{place} tbody").first.locator(f"tr > td:nth-child({number})").all_inner_texts()


def test_600_units_open_quickly_and_sort_and_filter(opened, logs):
    file = write_report(
        logs(600, decisions=json.dumps({"unit": ["a", 1], "action": "merged", "reason": "", "numbers": {"unit": 0}}))
    )
    started = time.monotonic()
    page = opened(file)
    assert time.monotonic() - started < 20  # on a busy machine; a second on an idle one
    assert len(column(page, "units", 2)) == 200
    page.locator("#units thead button", has_text="contamination").click()
    page.locator("#units thead button", has_text="firing rate").click()
    rates = [float(text) for text in column(page, "units", 4)]
    assert rates == sorted(rates)
    page.locator("#units thead button", has_text="firing rate").click()
    assert float(column(page, "units", 4)[0]) >= rates[-1]
    page.locator("#units input").first.fill("unit<10 unit>=7")
    assert sorted(column(page, "units", 2)) == ["7", "8", "9"]
    page.locator("#units input").first.fill("no such unit")
    assert column(page, "units", 2) == []


def test_a_chosen_unit_is_drawn_and_the_keyboard_goes_on_to_the_next(opened, logs):
    page = opened(write_report(logs(5)))
    page.locator("#units tbody tr").nth(1).click()
    assert page.locator("#card h3").first.inner_text() == "merged_sorting/1"
    page.locator("#card").scroll_into_view_if_needed()
    page.wait_for_selector("#card .plot .main-svg")
    assert page.locator("#card .plot[aria-label]").count() == 3
    page.locator("#units tbody tr").nth(1).focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("#card h3").first.inner_text() == "merged_sorting/2"
    page.locator("#card").scroll_into_view_if_needed()
    titles = page.wait_for_function(
        "document.querySelectorAll('#card .xtitle').length === 3 && document.querySelector('#card').textContent"
    )
    for text in ("lag (ms)", "interval (ms)", "time (s)", "firing rate (Hz)", "spike pairs"):
        assert text in titles.json_value()


def test_text_of_users_is_shown_and_never_run(opened, logs):
    decision = {"unit": [NASTY, NASTY], "action": "removed", "reason": NASTY, "numbers": {"unit": 0, NASTY: 1.0}}
    merged = {"unit": [NASTY, 3], "action": "merged", "reason": NASTY, "numbers": {"unit": 0}}
    lines = f"{json.dumps(decision)}\n{json.dumps(merged)}\n"
    page = opened(write_report(logs(2, status="interrupted", sorters=[(NASTY, NASTY)], decisions=lines)))
    for place in ("summary", "steps", "agreement", "removed", "software"):
        page.locator(f"#{place}").scroll_into_view_if_needed()
        page.wait_for_timeout(200)
    assert page.title().startswith("Lussac")
    assert NASTY in page.locator("#removed td").nth(1).inner_text()
    assert NASTY in page.locator("#summary .warning").first.inner_text()
    assert page.locator("main img, main script").count() == 0


@pytest.mark.parametrize("units", [0, 1])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_fits_the_window_in_both_themes(opened, logs, tmp_path, units, width, scheme):
    page = opened(write_report(logs(units, status="running")), width, scheme)
    assert "killed" in page.locator("#summary .warning").first.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    page.screenshot(path=tmp_path / "page.png", full_page=True)
