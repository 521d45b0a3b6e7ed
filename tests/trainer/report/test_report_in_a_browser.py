"""The report in a real browser: nothing fails, nothing leaves the page, the controls do what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_parts import HOSTILE_LABELS, made_history, made_run, made_statistics

from bundle.manifest import Task
from trainer.report import render_report

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium"),
]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_report(browser, tmp_path, load_thumbnail):
    """open_report(task, labels=..., width=..., scheme=...) -> the page; at the end nothing may have gone wrong."""
    wrong: list[str] = []
    contexts = []

    def visit(task: Task, labels=HOSTILE_LABELS, width: int = 1280, scheme: str = "light"):
        models = {"best": made_statistics(task, labels), "last": made_statistics(task, labels, seed=1)}
        file = tmp_path / "report.html"
        file.write_text(render_report(made_run(task, labels), models, made_history(), load_thumbnail), encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: _allowed(request.url, file.as_uri(), wrong))
        page.goto(file.as_uri())
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


def _allowed(url: str, own: str, wrong: list[str]) -> None:
    if not url.startswith("data:") and url.split("#")[0] != own:
        wrong.append(f"request: {url}")


def shown(page) -> set[tuple[str, str]]:
    views = page.locator(".view[data-split]:visible")
    return {tuple(view) for view in views.evaluate_all("all => all.map(v => [v.dataset.model, v.dataset.split])")}


@pytest.mark.parametrize("task", list(Task))
def test_the_switches_change_model_and_images_everywhere(open_report, task):
    page = open_report(task)
    assert shown(page) == {("best", "test")}
    page.get_by_role("button", name="Validation", exact=True).click()
    assert shown(page) == {("best", "validation")}
    page.get_by_role("button", name="Last", exact=True).click()
    assert shown(page) == {("last", "validation")}
    assert page.locator("#labels [data-context]").inner_text() == "Last · Validation"
    assert page.locator("[data-switch=split] [aria-pressed=true]").inner_text() == "Validation"


def test_a_heading_sorts_its_column_and_sorts_it_back(open_report):
    page = open_report(Task.SINGLE_LABEL)
    table = page.locator("#labels .view:visible table")

    def column() -> list[float]:
        texts = table.locator("tbody tr td:nth-of-type(5)").all_inner_texts()
        return [float(text.rstrip("%")) for text in texts]

    heading = table.get_by_role("button", name="F1")
    heading.click()
    assert column() == sorted(column(), reverse=True)
    assert table.locator("th[aria-sort=descending]").count() == 1
    heading.click()
    assert column() == sorted(column())
    table.get_by_role("button", name="Label").click()
    names = table.locator("tbody th").all_inner_texts()
    assert sorted(names) == sorted(HOSTILE_LABELS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("task", list(Task))
def test_nothing_is_wider_than_a_phone(open_report, task, scheme):
    page = open_report(task, width=390, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    outside = page.evaluate(
        """() => [...document.querySelectorAll('body *:not(.scroll *)')].filter(part => {
            const box = part.getBoundingClientRect();
            return box.width > 0 && box.right > innerWidth + 1 && !part.closest('.pictures, .skip, svg');
        }).map(part => part.outerHTML.slice(0, 120))"""
    )
    assert outside == []


def test_the_dark_page_is_dark_and_the_printed_page_is_light(open_report):
    page = open_report(Task.SINGLE_LABEL, scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(11, 18, 32)"
    page.emulate_media(media="print")
    assert page.evaluate(paper) == "rgb(248, 250, 252)"
    assert page.locator(".switches").is_hidden()


def test_a_term_explains_itself_on_hover_and_on_focus(open_report):
    page = open_report(Task.SINGLE_LABEL)
    tip = page.locator("#tip")
    page.locator("#summary .term", has_text="F1, macro").first.hover()
    assert "harmonic mean" in tip.inner_text()
    page.locator("h1").hover()
    assert tip.is_hidden()
    page.locator("#summary .term", has_text="Cross-entropy").first.focus()
    assert "surprise" in tip.inner_text()


def test_a_name_in_the_legend_brings_its_curve_forward(open_report):
    page = open_report(Task.MULTI_LABEL)
    plot = page.locator("#curves .view:visible")
    plot.locator(".legend button").nth(1).hover()
    focused = plot.locator(".series.is-focus")
    assert focused.get_attribute("data-series") == HOSTILE_LABELS[0]
    line = focused.locator("path").evaluate("line => getComputedStyle(line).fill")
    assert line == "none"


def test_a_long_table_shows_forty_rows_filters_them_and_shows_all(open_report):
    page = open_report(Task.MULTI_LABEL, labels=[f"part {place:02d}" for place in range(50)])
    view = page.locator("#labels .view:visible")
    rows = view.locator("tbody tr:visible")
    assert rows.count() == 40
    view.get_by_role("searchbox").fill("part 4")
    assert sorted(rows.locator("th").all_inner_texts()) == [f"part {place}" for place in range(40, 50)]
    view.get_by_role("searchbox").fill("")
    view.get_by_role("button", name="Show all 50").click()
    assert rows.count() == 50


def test_the_pictures_are_drawn(open_report):
    page = open_report(Task.SINGLE_LABEL)
    first = page.locator("#worst .view:visible .picture use").first
    box = first.evaluate("part => { const b = part.getBBox(); return [b.width, b.height]; }")
    assert box == [160, 160]
