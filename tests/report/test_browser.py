"""The page in a real browser: it draws, sorts and filters, complains about nothing and asks the network for nothing."""

import json
import shutil

import numpy as np
import pytest
from tiny import lussac, write_params

from lussac.report import write_comparison, write_report
from tests.pages import ROOT

from .conftest import NASTY

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)")
PICTURES = ROOT / "artefacts" / "report"
"""Screenshots are kept here, to be looked at."""
PIPELINE = {
    "remove_bad_units": {"all": {"firing_rate": {"min": 8.0}}},
    "units_categorization": {"all": {"fast": {"firing_rate": {"min": 11.3}}}},
    "merge_sortings": {"all": {}},
}


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
        page.wait_for_function("window.Plotly")
        return page

    yield open_page
    for page in pages:
        page.close()
    assert heard == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    assert sum(url.startswith("file:") for url in asked) == len(pages)


@pytest.fixture(scope="module")
def report(case, tmp_path_factory):
    """Return the report of a run with analyses, removed units, categories, merged units."""
    folder = tmp_path_factory.mktemp("run")
    assert lussac(write_params(folder, case.params(PIPELINE)))[0] == 0
    return folder / "logs" / "report.html"


def keep(page, name):
    """Draw all of a page and keep a picture of it."""
    drawn = "place => place.classList.contains('js-plotly-plot')"
    for place in page.locator(".plot").all():
        place.scroll_into_view_if_needed()
        page.wait_for_function(drawn, arg=place.element_handle())
    page.evaluate("scrollTo(0, 0)")
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


def column(page, name, place="#units"):
    """Return the texts of a column of the first table in a place."""
    heads = page.locator(f"{place} thead").first.locator("th").all_inner_texts()
    number = next(index for index, head in enumerate(heads, start=1) if head.startswith(name))
    return page.locator(f"{place} tbody").first.locator(f"tr > td:nth-child({number})").all_inner_texts()


def sort(page, name):
    page.locator("#units thead button", has_text=name).click()


def test_600_units_open_sort_and_filter(opened, logs):
    decision = json.dumps({"unit": ["a", 1], "action": "merged", "reason": "", "numbers": {"unit": 0}})
    file = write_report(logs(600, decisions=decision, seen=True))
    page = opened(file)
    assert len(column(page, "unit")) == 200
    sort(page, "contamination")
    sort(page, "firing rate")
    rates = [float(text) for text in column(page, "firing rate")]
    assert rates == sorted(rates)
    sort(page, "firing rate")
    assert float(column(page, "firing rate")[0]) >= rates[-1]
    page.get_by_label("Filter Units").fill("unit<10 unit>=7")
    assert sorted(column(page, "unit")) == ["7", "8", "9"]
    page.locator("#units tbody tr").first.click()
    page.locator("#card").scroll_into_view_if_needed()
    page.wait_for_selector("#card .main-svg")
    page.get_by_label("Filter Units").fill("no such unit")
    assert column(page, "unit") == []


def test_ranges_categories_and_analyses_filter(opened, report):
    page = opened(report)
    rates, every = [float(text) for text in column(page, "firing rate")], len(column(page, "unit"))
    limit = sorted(rates)[len(rates) // 2]
    page.get_by_label("Smallest firing rate").fill(str(limit))
    left = [float(text) for text in column(page, "firing rate")]
    assert left == [rate for rate in rates if rate > limit or rate in left]
    assert left
    assert min(left) >= limit > min(rates)
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function(f"document.querySelectorAll('#units .scroll tbody')[0].children.length === {every}")
    page.get_by_label("category", exact=True).select_option("fast")
    assert set(column(page, "category")) == {"fast"}
    page.get_by_role("button", name="Reset").click()
    page.get_by_label("found by", exact=True).select_option("alpha")
    found = page.locator("#units tbody").first.locator(".found")
    assert found.count() > 0
    assert all("alpha" in place.get_attribute("title") for place in found.all())
    page.get_by_label("Sort by").select_option("SNR")
    sizes = [float(text) for text in column(page, "SNR")]
    assert sizes == sorted(sizes, reverse=True)


def test_a_chosen_unit_is_drawn_and_the_keyboard_goes_on_to_the_next(opened, report):
    page = opened(report)
    page.locator("#units tbody tr").nth(1).click()
    assert page.locator("#card h3").first.inner_text().startswith("merged_sorting/1")
    assert page.locator("#card .plot[aria-label]").count() == 5 + 4  # and a cross-correlogram with each neighbour
    page.locator("#units tbody tr").nth(1).focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("#card h3").first.inner_text().startswith("merged_sorting/2")
    assert page.evaluate("document.querySelectorAll('#units tbody tr[tabindex=\"0\"]').length") == 1
    page.get_by_role("button", name="Previous unit").click()
    assert page.locator("#card h3").first.inner_text().startswith("merged_sorting/1")
    keep(page, "report-1280-light")
    shown = page.locator("#card").text_content()
    for text in ("lag (ms)", "interval (ms)", "time (s)", "rate (Hz)", "amplitude (µV)", "voltage (µV)", "spike pairs", "y (µm)"):
        assert text in shown
    for text in ("Found by", "Its spikes: ", "Runner-up: ", "Made of", "agreement"):
        assert text in shown
    page.locator("#card .minis button").first.click()
    assert not page.locator("#card h3").first.inner_text().startswith("merged_sorting/1")


def test_small_cards_show_the_same_units(opened, report):
    page = opened(report)
    names = column(page, "unit")
    page.get_by_role("button", name="Small cards").click()
    assert page.locator(".tile strong").all_inner_texts() == names
    page.locator(".tile").nth(2).click()
    assert page.locator("#card h3").first.inner_text().startswith(f"merged_sorting/{names[2]}")


def test_every_plot_has_a_text_for_those_who_do_not_see_it(opened, report):
    page = opened(report)
    plots = page.locator(".plot")
    assert plots.count() > 15
    assert all(len(place.get_attribute("aria-label")) > 20 for place in plots.all())
    assert page.locator(".modebar").count() == 0


def test_text_of_users_is_shown_and_never_run(opened, logs):
    decision = {"unit": [NASTY, NASTY], "action": "removed", "reason": NASTY, "numbers": {"unit": 0, NASTY: 1.0}}
    merged = {"unit": [NASTY, 3], "action": "merged", "reason": NASTY, "numbers": {"unit": 0}}
    lines = f"{json.dumps(decision)}\n{json.dumps(merged)}\n"
    folder = logs(2, status="interrupted", sorters=[(NASTY, NASTY)], decisions=lines, seen=True)
    page = opened(write_report(folder))
    keep(page, "report-1280-hostile")
    assert page.title().startswith("Lussac")
    assert NASTY in page.locator("#removed td").first.inner_text()
    assert NASTY in page.locator("#summary .warning").first.inner_text()
    assert NASTY in page.locator("#summary .faint").all_inner_texts()[1]
    assert page.locator("main img, main script").count() == 0


@pytest.mark.parametrize("units", [0, 1])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_fits_the_window_in_both_themes(opened, logs, units, width, scheme):
    page = opened(write_report(logs(units, status="running")), width, scheme)
    assert "killed" in page.locator("#summary .warning").first.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light"), (390, "dark")])
def test_a_whole_report_fits_the_window(opened, report, width, scheme):
    page = opened(report, width, scheme)
    keep(page, f"report-{width}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.fixture(scope="module")
def comparison(case, report, tmp_path_factory):
    """Return the page that shows a run beside an analysis."""
    return write_comparison([report.parent, case.folder / "alpha.npz.json"], tmp_path_factory.mktemp("page") / "compare.html")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_comparison_draws_both(opened, comparison, width, scheme):
    page = opened(comparison, width, scheme)
    page.locator("#units tbody tr").first.click()
    keep(page, f"compare-{width}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#card .legend span").count() == 2
    shown = page.locator("#card").text_content()
    for text in ("Found by all 2.", "share of spike pairs", "share of intervals", "time (s)", "rate (Hz)"):
        assert text in shown


def test_neurons_of_a_comparison_filter_by_who_found_them(opened, comparison):
    page = opened(comparison)
    page.get_by_label("found by", exact=True).select_option("alpha")
    found = page.locator("#units tbody").first.locator(".found")
    assert 0 < found.count() == len([text for text in column(page, "unit in alpha") if text != "\u2013"])


def test_what_is_missing_is_called_missing(opened, logs, monkeypatch):
    monkeypatch.setattr("lussac.report.content.MOST_DRAWN", 2)
    page = opened(write_report(logs(3)))
    assert "not stored" in page.locator("#summary .warning").first.inner_text()
    shown = page.locator("#card").text_content()
    assert "Template and amplitude over time: not stored." in shown
    assert "Neighbours: not known, since no templates are stored." in shown
    page.locator("#units tbody tr").nth(2).click()
    assert "This unit is not drawn: there are too many." in page.locator("#card").text_content()


def test_a_purkinje_cell_has_its_cross_correlogram(opened, logs):
    labels = {"lussac_purkinje": np.array(["0-1", "0-1", ""])}
    page = opened(write_report(logs(3, properties=labels)))
    place = page.locator("#pairs .plot")
    assert place.count() == 1
    assert "simple spikes 0, complex spikes 1" in place.get_attribute("aria-label")
    place.scroll_into_view_if_needed()
    page.wait_for_selector("#pairs .main-svg")
    assert "time after the complex spike (ms)" in page.locator("#pairs").text_content()


def test_digests_of_images_are_shown_with_a_button_to_copy_them(opened, logs):
    image = {"requested": "lussac/simple", "rootfs": f"sha256:{'a' * 64}", "source": "local-build"}
    page = opened(write_report(logs(1, sorters=[("one", "it failed")], image=image)))
    assert page.locator("#software .digest code").inner_text() == image["rootfs"]
    button = page.get_by_role("button", name="Copy the digest of one")
    button.click()
    page.wait_for_function("['Copied', \"Can't copy\"].includes(document.querySelector('#software .digest button').textContent)")
