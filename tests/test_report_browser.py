"""The report in a real browser: it opens from a file, asks for nothing, runs nothing, and can be read and used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import headless, needs_chromium
from sample_result import build
from selenium import webdriver
from selenium.webdriver.common.by import By

from hwsim.report import text, write_report
from hwsim.simulate import run

HOSTILE = (
    "<script>document.title='owned'</script>",
    "<img src=http://127.0.0.1:9/x onerror=\"document.title='owned'\">",
    "</style></svg><iframe srcdoc='<script>parent.document.title=1</script>'>",
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'>",
    "<style>@import 'http://127.0.0.1:9/x.css'</style>",
    "<details open ontoggle=\"document.title='owned'\">",
)
pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """Headless Chromium that logs its console and its network."""
    with headless(1280, 1000) as driver:
        yield driver


@pytest.fixture(scope="module")
def opened(browser: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run whose layers have hostile names, written and opened from its file."""
    path = write_report(build(names=HOSTILE, feasible=False), tmp_path_factory.mktemp("report"))[0]
    assert path.stat().st_size <= 1_000_000
    browser.get(path.as_uri())
    return path


@pytest.fixture(autouse=True)
def at_the_page(browser: webdriver.Chrome, opened: Path) -> None:
    """Every test begins at the hostile page, whatever the one before looked at."""
    if browser.current_url != opened.as_uri():
        browser.get(opened.as_uri())


def requests_of(browser: webdriver.Chrome) -> dict[str, str]:
    """Every address that the page asked for since the log was last read, with why it was blocked ("" if it was not)."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {m["params"]["requestId"]: m["params"]["request"]["url"]
             for m in messages if m["method"] == "Network.requestWillBeSent"}  # fmt: skip
    blocked = {m["params"]["requestId"]: m["params"].get("blockedReason", "")
               for m in messages if m["method"] == "Network.loadingFailed"}  # fmt: skip
    return {url: blocked.get(at, "") for at, url in asked.items() if not url.startswith("data:,")}


def test_it_asks_for_itself_alone_and_the_console_is_silent(browser: webdriver.Chrome, opened: Path) -> None:
    assert requests_of(browser) == {opened.as_uri(): ""}
    assert browser.get_log("browser") == []


def test_hostile_names_are_text_and_nothing_ran(browser: webdriver.Chrome, opened: Path) -> None:
    assert opened.exists() and browser.title == "optimus running transformer-base"
    for tag in ("script", "img", "iframe", "object", "form", "a"):
        assert browser.find_elements(By.TAG_NAME, tag) == []
    assert len(browser.find_elements(By.TAG_NAME, "style")) == 1
    cells = {e.get_attribute("textContent") for e in browser.find_elements(By.CSS_SELECTOR, "#all-layers td.t")}
    assert {text.plain(name, 100) for name in HOSTILE} <= cells


def test_a_script_put_into_the_page_is_refused_by_the_policy(browser: webdriver.Chrome, opened: Path) -> None:
    bad = opened.with_name("tampered.html")
    bad.write_text(opened.read_text().replace("</body>", "<script>document.title='owned'</script>"
                                              "<img src='http://127.0.0.1:9/x'></body>"))  # fmt: skip
    browser.get(bad.as_uri())
    told = " ".join(entry["message"] for entry in browser.get_log("browser"))
    assert browser.title == "optimus running transformer-base" and "Content Security Policy" in told
    assert requests_of(browser) == {bad.as_uri(): "", "http://127.0.0.1:9/x": "csp"}


def test_headings_figures_and_pictures_can_be_seen(browser: webdriver.Chrome, opened: Path) -> None:
    headings = [e.text for e in browser.find_elements(By.TAG_NAME, "h2")]
    assert opened.exists() and headings == [
        "Where time and energy go", "Layers", "Roofline", "Units and ports over time", "Memory",
        "Energy and area by component", "Layers in figures", "Design", "Notes", "Provenance",
    ]  # fmt: skip
    body = browser.find_element(By.TAG_NAME, "body").text
    made = build(names=HOSTILE, feasible=False)
    for figure in (text.quantity(made.latency_s.value, "s"), text.quantity(made.energy_j.value, "J"), "not feasible"):
        assert figure in body
    for picture in browser.find_elements(By.CSS_SELECTOR, "svg.chart"):
        assert picture.is_displayed() and picture.size["width"] > 800 and picture.size["height"] > 100


def labels_astray(browser: webdriver.Chrome) -> tuple[int, list[str]]:
    """How many labels the pictures have, and those that run out of their picture or across another label."""
    astray = browser.execute_script(
        """
        const astray = [];
        for (const chart of document.querySelectorAll('svg.chart')) {
          const b = chart.getBoundingClientRect();
          const labels = [...chart.querySelectorAll('text')].map(t => [t.getBoundingClientRect(), t]);
          labels.forEach(([a, t], i) => {
            if (a.left < b.left - 1 || a.right > b.right + 1 || a.top < b.top - 3 || a.bottom > b.bottom + 3)
              astray.push(t.textContent);
            for (const [c, u] of labels.slice(i + 1))
              if (Math.min(a.right, c.right) - Math.max(a.left, c.left) > 1
                  && Math.min(a.bottom, c.bottom) - Math.max(a.top, c.top) > 4)
                astray.push(t.textContent + ' | ' + u.textContent);
          });
        }
        return astray;
        """
    )
    return len(browser.find_elements(By.CSS_SELECTOR, "svg.chart text")), astray


def test_no_label_runs_out_of_its_picture_or_across_another(browser: webdriver.Chrome, opened: Path) -> None:
    labels, astray = labels_astray(browser)
    print(f"{labels} labels of pictures checked in the browser")
    assert opened.exists() and labels > 100 and astray == []


@pytest.mark.parametrize("design", ["optimus", "optimus-baseline", "i7-6900k"])
def test_reports_of_shipped_designs_open_clean(browser: webdriver.Chrome, design: str, tmp_path: Path) -> None:
    path = write_report(run(design, "transformer-base", interval=False), tmp_path)[0]
    requests_of(browser)
    browser.get(path.as_uri())
    assert requests_of(browser) == {path.as_uri(): ""} and browser.get_log("browser") == []
    labels, astray = labels_astray(browser)
    assert path.stat().st_size <= 1_000_000 and labels > 60 and astray == []


def test_the_style_sheet_is_in_force_in_light_and_dark(browser: webdriver.Chrome, opened: Path) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
        grounds.append(browser.find_element(By.TAG_NAME, "body").value_of_css_property("background-color"))
        busy = browser.find_element(By.CSS_SELECTOR, "svg .busy").value_of_css_property("fill")
        assert busy not in ("rgb(0, 0, 0)", grounds[-1])
    assert opened.exists() and grounds == ["rgba(255, 255, 255, 1)", "rgba(18, 22, 28, 1)"]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("which", ["all-layers", "free"])
def test_details_open_by_click(browser: webdriver.Chrome, opened: Path, which: str) -> None:
    details = browser.find_element(By.ID, which)
    cell = details.find_element(By.CSS_SELECTOR, "tbody td")
    assert opened.exists() and not cell.is_displayed()
    summary = details.find_element(By.TAG_NAME, "summary")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", summary)
    summary.click()
    assert cell.is_displayed() and cell.text
    summary.click()
    assert not cell.is_displayed()
