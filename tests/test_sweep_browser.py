"""A sweep's page in a real browser: hovered, clicked, filtered, brushed; it asks for nothing and its console is
silent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sample_sweep
from browser import headless, needs_chromium
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from hwsim.sweep.page import write_page

HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<img src=http://127.0.0.1:9/x onerror=\"document.title='owned'\">",
    "\u2028<!--<script>",
    "{{7*7}}${7*7}'\"`",
)
pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """Headless Chromium that logs its console and its network."""
    with headless(1440, 1400) as driver:
        yield driver


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 285 feasible points."""
    study = sample_sweep.study()
    folder = tmp_path_factory.mktemp("sweep")
    return write_page(study, sample_sweep.rows(study), folder, result_of=sample_sweep.result_of, units={})[0]


@pytest.fixture
def page(browser: webdriver.Chrome, written: Path) -> Iterator[webdriver.Chrome]:
    """The page, freshly opened; afterwards the console has to be empty and nothing asked for."""
    logs_of(browser)
    browser.get(written.as_uri())
    yield browser
    console, asked = logs_of(browser)
    assert console == [] and asked <= {written.as_uri()}


def logs_of(browser: webdriver.Chrome) -> tuple[list[object], set[str]]:
    """What the console said and which addresses were asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    return browser.get_log("browser"), {url for url in asked if not url.startswith("data:")}


def find(page: webdriver.Chrome, css: str) -> WebElement:
    return page.find_element(By.CSS_SELECTOR, css)


def every(page: webdriver.Chrome, css: str) -> list[WebElement]:
    return page.find_elements(By.CSS_SELECTOR, css)


def status(page: webdriver.Chrome) -> tuple[int, int, int]:
    """(selected, of, on the front) as the page says them, once it has drawn."""
    page.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    return tuple(int(n.replace(",", "")) for n in re.findall(r"[\d,]*\d", find(page, "#status").text))  # type: ignore[return-value]


def data(page: webdriver.Chrome) -> dict[str, object]:
    return json.loads(find(page, "#data").get_attribute("textContent") or "")


def show(page: webdriver.Chrome, element: WebElement) -> WebElement:
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    return element


def rings(page: webdriver.Chrome) -> list[WebElement]:
    return every(page, "#scatter circle.ring")


def point_at(page: webdriver.Chrome, ring: WebElement) -> None:
    show(page, find(page, "#scatter"))
    ActionChains(page, duration=20).move_to_element(ring).perform()


def drag(page: webdriver.Chrome, host: WebElement, start: tuple[int, int], end: tuple[int, int]) -> None:
    """Press at one place of `host`, measured from its top left corner, move, release at another."""
    show(page, host)
    size = host.size
    centre = size["width"] // 2, size["height"] // 2
    chain = ActionChains(page, duration=20)
    chain.move_to_element_with_offset(host, start[0] - centre[0], start[1] - centre[1]).click_and_hold()
    chain.move_by_offset((end[0] - start[0]) // 2, (end[1] - start[1]) // 2)
    chain.move_to_element_with_offset(host, end[0] - centre[0], end[1] - centre[1]).release().perform()


# --- opening ----------------------------------------------------------------------------------------------------


def test_it_opens_with_every_point_and_can_be_read(page: webdriver.Chrome) -> None:
    assert page.title == "sample" and find(page, "#app").is_displayed()
    assert [e.text for e in every(page, "h2")] == [
        "Explore", "What matters", "Hypervolume over time", "The question", "The front"]  # fmt: skip
    found = data(page)
    n, front = len(found["point"]), len(found["front"])
    assert status(page) == (n, n, front) and len(rings(page)) == front
    inked = page.execute_script(
        "return [...document.querySelectorAll('canvas')].map(c => c.getContext('2d').getImageData(0, 0, c.width, "
        "c.height).data.reduce((sum, v, i) => sum + (i % 4 === 3 && v > 0), 0))"
    )
    assert len(inked) == 2 and min(inked) > 2000


def test_hovering_shows_the_point_and_leaving_hides_it(page: webdriver.Chrome) -> None:
    found = data(page)
    row = int(rings(page)[0].get_attribute("data-row") or -1)
    point_at(page, rings(page)[0])
    tip = find(page, "#tip")
    assert tip.is_displayed() and "on the front" in tip.text
    shown = int(re.findall(r"Point (\d+)", tip.text)[0]) - 1
    assert shown in found["trial"] and found["trial"].index(shown) in found["front"]
    assert found["parameters"][0]["levels"][found["parameters"][0]["column"][row]] in tip.text
    ActionChains(page).move_to_element(find(page, "h1")).perform()
    assert not tip.is_displayed()


# --- choosing ---------------------------------------------------------------------------------------------------


def test_filters_keep_the_points_of_their_levels(page: webdriver.Chrome) -> None:
    found = data(page)
    macs, formats = found["parameters"][0], found["parameters"][1]
    chip = every(page, "#filters fieldset:nth-of-type(1) button")
    assert [c.text for c in chip] == macs["levels"]
    chip[1].click()
    kept = [level == 1 for level in macs["column"]]
    assert status(page)[0] == sum(kept)
    every(page, "#filters fieldset:nth-of-type(2) button")[0].click()
    kept = [k and level == 0 for k, level in zip(kept, formats["column"], strict=True)]
    assert status(page)[0] == sum(kept) > 0
    assert len(every(page, "#points tbody tr")) == min(25, sum(kept))
    every(page, "#filters fieldset:nth-of-type(1) button")[1].click()
    assert status(page)[0] == formats["column"].count(0)
    find(page, "#reset").click()
    assert status(page)[0] == len(kept)


def test_a_range_of_a_continuous_parameter(page: webdriver.Chrome) -> None:
    share = data(page)["parameters"][2]
    slider = every(page, "#filters input[type=range]")[0]
    assert len(share["levels"]) > 16 and slider.get_attribute("max") == str(len(share["levels"]) - 1)
    slider.send_keys(*["\ue014"] * 20)
    low = int(slider.get_attribute("value") or 0)
    assert low == 20 and status(page)[0] == sum(level >= 20 for level in share["column"])
    assert find(page, "#filters .range span").text.startswith(share["levels"][20])


def test_dragging_over_the_scatter_selects_and_a_click_lets_go(page: webdriver.Chrome) -> None:
    host = find(page, "#scatter svg")
    whole = status(page)[0]
    width, height = host.size["width"], host.size["height"]
    drag(page, host, (70, 20), (width // 3, height - 50))
    left = status(page)[0]
    assert 0 < left < whole and every(page, "#scatter rect.brush")
    drag(page, host, (width // 3, 20), (width - 16, height - 50))
    right = status(page)[0]
    assert 0 < right < whole and abs(left + right - whole) <= 3
    chain = ActionChains(page)
    chain.move_to_element_with_offset(host, 66 - width // 2, 3 - height // 2).click().perform()
    assert status(page)[0] == whole and not every(page, "#scatter rect.brush")


def test_brushing_an_axis_of_the_parallel_coordinates(page: webdriver.Chrome) -> None:
    found = data(page)
    hits = every(page, "#parallel rect.hit")
    assert len(hits) == len(found["parameters"]) + len(found["objectives"])
    show(page, find(page, "#parallel"))
    axis, whole = hits[0], status(page)[0]
    height = axis.size["height"]
    chain = ActionChains(page, duration=20)
    chain.move_to_element_with_offset(axis, 0, height // 2 - 3).click_and_hold().move_by_offset(0, -height // 8)
    chain.move_by_offset(0, -height // 8).release().perform()
    assert status(page)[0] == found["parameters"][0]["column"].count(0)
    ActionChains(page).move_to_element(every(page, "#parallel rect.hit")[0]).click().perform()
    assert status(page)[0] == whole


def test_the_front_alone(page: webdriver.Chrome) -> None:
    find(page, "#front-only").click()
    front = len(data(page)["front"])
    assert status(page) == (front, status(page)[1], front)


def test_axes_colour_and_scales_can_be_chosen(page: webdriver.Chrome) -> None:
    before = page.execute_script("return document.querySelector('#scatter canvas').toDataURL()")
    Select(find(page, "#x")).select_by_visible_text("area")
    Select(find(page, "#y")).select_by_visible_text("format")
    Select(find(page, "#colour")).select_by_visible_text("utilisation")
    titles = [e.text for e in every(page, "#scatter text.title")]
    assert titles == ["area", "format"] and "utilisation" in find(page, "#legend").text
    assert page.execute_script("return document.querySelector('#scatter canvas').toDataURL()") != before
    assert not find(page, "#y-log").is_enabled()
    Select(find(page, "#y")).select_by_visible_text("latency")
    box = find(page, "#y-log")
    was = box.is_selected()
    ticks = [e.text for e in every(page, "#scatter text.muted")]
    box.click()
    assert box.is_selected() is not was and [e.text for e in every(page, "#scatter text.muted")] != ticks
    point_at(page, rings(page)[0])
    assert "area" in find(page, "#tip").text


# --- points -----------------------------------------------------------------------------------------------------


def test_a_click_opens_a_point_with_its_breakdown(page: webdriver.Chrome, written: Path) -> None:
    point_at(page, rings(page)[1])
    ActionChains(page).click().perform()
    panel, found = find(page, "#point"), data(page)
    number = int(re.findall(r"Point (\d+)", panel.text)[0]) - 1
    place = found["trial"].index(number)
    detail = found["breakdowns"][found["point"][place]]
    for heading in ("Time by what limits it", "Energy by component", "Time by layer", "Area by component"):
        assert heading in panel.text
    assert all(name in panel.text for name, _ in detail["energy"]) and "hwsim report -a optimus" in panel.text
    widths = [e.size["width"] for e in every(page, "#point .fill.e")]
    assert widths == sorted(widths, reverse=True) and widths[0] > 50
    assert every(page, "#scatter circle.open") and every(page, "#parallel path.line")
    link = find(page, "#point a")
    assert (
        written.parent / (link.get_attribute("href") or "").rpartition("/points/")[2].join(["points/", ""])
    ).exists()
    find(page, "#close").click()
    assert find(page, "#point").text == "" and not every(page, "#scatter circle.open")


def test_two_points_are_compared_and_the_causes_named(page: webdriver.Chrome) -> None:
    for at in (0, -1):
        point_at(page, rings(page)[at])
        ActionChains(page).click().perform()
        if at == 0:
            show(page, find(page, "#hold")).click()
    text = find(page, "#point").text
    assert "Why it differs from point" in text and re.search(r"is better in .* and worse in ", text)
    assert every(page, "#compared .better") and every(page, "#compared .worse")
    causes = find(page, "#causes").text
    assert "Energy, by component" in causes and re.search(r"[+−][\d.]+ [mµn]?J", causes)
    found = data(page)
    numbers = [int(n) - 1 for n in re.findall(r"[Pp]oint (\d+)", text)]
    a, b = found["trial"].index(numbers[1]), found["trial"].index(numbers[0])
    columns = found["objectives"][1]["column"]
    ratio = float(re.findall(r"energy .*? ([\d.]+)×", text)[0])
    assert ratio == pytest.approx(columns[b] / columns[a], rel=6e-3)


def test_the_table_sorts_opens_and_goes_on(page: webdriver.Chrome) -> None:
    energies = [float(v) for v in data(page)["objectives"][1]["column"]]
    button = next(b for b in every(page, "#points th button") if b.text.startswith("energy"))
    show(page, button).click()
    for best in (min, max):
        row = int(find(page, "#points tbody tr").get_attribute("data-row") or -1)
        assert energies[row] == best(energies)
        next(b for b in every(page, "#points th button") if b.text.startswith("energy")).click()
    show(page, find(page, "#more")).click()
    assert len(every(page, "#points tbody tr")) == 125
    opener = show(page, every(page, "#points td button")[3])
    number = opener.text
    opener.click()
    assert f"Point {number}" in find(page, "#point").text


def test_a_point_beside_the_front_says_that_it_has_no_breakdown(page: webdriver.Chrome) -> None:
    found = data(page)
    other = next(i for i in range(len(found["point"])) if i not in found["front"])
    page.execute_script("document.getElementById('more').click()")
    page.execute_script("document.getElementById('more').click()")
    page.execute_script("document.getElementById('more').click()")
    show(page, find(page, f"#points tr[data-row='{other}'] button")).click()
    assert "Breakdowns are held for points of the front" in find(page, "#point").text


# --- how it looks -----------------------------------------------------------------------------------------------


def test_light_and_dark(page: webdriver.Chrome) -> None:
    seen = []
    for scheme in ("light", "dark"):
        page.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        status(page)
        ground = find(page, "body").value_of_css_property("background-color")
        seen.append((ground, page.execute_script("return document.querySelector('#scatter canvas').toDataURL()")))
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert seen[0][0] == "rgba(255, 255, 255, 1)" and seen[1][0] == "rgba(18, 22, 28, 1)" and seen[0][1] != seen[1][1]


def test_a_narrow_window(page: webdriver.Chrome) -> None:
    page.set_window_size(520, 900)
    try:
        WebDriverWait(page, 5).until(lambda p: find(p, "#scatter svg").size["width"] < 520)
        status(page)
        wide = page.execute_script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0 and rings(page)
    finally:
        page.set_window_size(1440, 1400)


def test_no_label_of_the_axes_runs_out_of_its_plot(page: webdriver.Chrome) -> None:
    astray = page.execute_script(
        """
        const astray = [];
        for (const plot of document.querySelectorAll('.canvas svg, svg.chart')) {
          const b = plot.getBoundingClientRect();
          for (const t of plot.querySelectorAll('text')) {
            const a = t.getBoundingClientRect();
            if (a.left < b.left - 3 || a.right > b.right + 3 || a.top < b.top - 3 || a.bottom > b.bottom + 3)
              astray.push(t.textContent);
          }
        }
        return astray;
        """
    )
    assert astray == [] and len(every(page, ".canvas svg text")) > 30


# --- hostile ----------------------------------------------------------------------------------------------------


def test_hostile_names_are_text_and_nothing_ran(browser: webdriver.Chrome, tmp_path: Path) -> None:
    study = sample_sweep.study(HOSTILE)
    study = replace(study, name=HOSTILE[0], summary=HOSTILE[1], constraints=(HOSTILE[0],),
                    parameters=tuple(replace(p, when="") for p in study.parameters))  # fmt: skip
    rows = [replace(r, assignment={**r.assignment, HOSTILE[1]: HOSTILE[i % 4]})
            for i, r in enumerate(sample_sweep.rows(study, 120, why=HOSTILE[0]))]  # fmt: skip
    path = write_page(study, rows, tmp_path, result_of=lambda r: sample_sweep.result_of(r, HOSTILE), units={})[0]
    logs_of(browser)
    browser.get(path.as_uri())
    point_at(browser, rings(browser)[0])
    ActionChains(browser).click().perform()
    assert browser.title == HOSTILE[0] and len(every(browser, "script")) == 2
    for tag in ("img", "iframe", "object", "form"):
        assert every(browser, tag) == []
    assert HOSTILE[0] in find(browser, "#filters").text and HOSTILE[0] in find(browser, "#point").text
    assert logs_of(browser) == ([], {path.as_uri()})


def test_another_script_is_refused_by_the_policy(browser: webdriver.Chrome, written: Path) -> None:
    bad = written.with_name("tampered.html")
    bad.write_text(written.read_text().replace("</body>", "<script>document.title='owned'</script></body>"))
    browser.get(bad.as_uri())
    told = " ".join(entry["message"] for entry in logs_of(browser)[0])  # type: ignore[index]
    assert browser.title == "sample" and "Content Security Policy" in told


def test_thousands_of_points_redraw_on_a_click(browser: webdriver.Chrome, tmp_path: Path) -> None:
    study = sample_sweep.study()
    path = write_page(study, sample_sweep.rows(study, 6000), tmp_path, result_of=sample_sweep.result_of, units={})[0]
    browser.get(path.as_uri())
    spent_ms = browser.execute_script(
        "const t = performance.now(); document.getElementById('front-only').click(); return performance.now() - t"
    )
    print(f"redrawn in {spent_ms:.0f} ms")
    assert find(browser, "#front-only").is_selected()
    assert logs_of(browser) == ([], {path.as_uri()})
