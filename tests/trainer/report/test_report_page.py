"""What stands in the file, read as a browser would read it."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from report_parts import HOSTILE_LABELS, made_history, made_run, made_statistics

from bundle.manifest import Task
from trainer.report import render_report
from trainer.report.html import LARGEST_REPORT, duration_text


class Page(HTMLParser):
    """Counts elements, keeps attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.attributes += attrs

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def nothing(_: str) -> bytes | None:
    return None


@pytest.fixture(params=list(Task), ids=lambda task: task.value)
def hostile(request, load_thumbnail):
    task = request.param
    models = {"best": made_statistics(task, HOSTILE_LABELS), "last": made_statistics(task, HOSTILE_LABELS, seed=1)}
    return render_report(made_run(task, HOSTILE_LABELS), models, made_history(), load_thumbnail)


def test_no_text_from_data_becomes_an_element(hostile):
    page = Page(hostile)
    assert page.tags["script"] == 1
    assert "img" not in page.tags
    assert "u" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    for said in (*HOSTILE_LABELS, "</title><script>alert(2)</script>", "<img src=x onerror=alert(3)>.jpg"):
        assert said in page.text


def test_the_page_refers_to_nothing_outside_itself(hostile):
    links = [value for name, value in Page(hostile).attributes if name in ("src", "href", "srcset", "action", "poster")]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    style = hostile[hostile.index("<style>") : hostile.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_the_content_security_policy_allows_exactly_the_page_s_own_script(hostile):
    script = re.search(r"<script>(.*?)</script>\n</body>", hostile, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(value for name, value in Page(hostile).attributes if value and value.startswith("default-src"))
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_every_element_id_stands_once(hostile):
    ids = [value for name, value in Page(hostile).attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_every_picture_is_embedded_once_and_a_missing_one_has_a_placeholder(hostile):
    assert hostile.count("data:image/jpeg;base64,") == hostile.count("<image ")
    uses = re.findall(r'<use href="#(picture-\d+)"', hostile)
    assert set(uses) == set(re.findall(r'id="(picture-\d+)"', hostile))
    assert len(uses) > len(set(uses))
    assert 'class="no-picture"' in hostile


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("splits", [("train",), ("train", "test"), ("test",), ("train", "validation")])
def test_any_splits_make_a_report(task, splits):
    run = made_run(task, ["a", "b"], images=dict.fromkeys(splits, 60), warnings=(), skipped=(), duration_s=None)
    html = render_report(run, {"best": made_statistics(task, ["a", "b"], splits)}, [], nothing)
    page = Page(html)
    shown = [value for name, value in page.attributes if name == "class" and value == "view is-shown"]
    assert shown
    if "test" not in splits:
        assert "There are no test images" in page.text
    assert 'id="learning"' not in html


def test_a_history_without_validation_or_with_one_epoch_is_drawn():
    rows = [row | {"validation_loss": None, "validation_accuracy": None} for row in made_history(1)]
    statistics = made_statistics(Task.SINGLE_LABEL, ["a", "b"], ("train",))
    html = render_report(made_run(Task.SINGLE_LABEL, ["a", "b"]), {"last": statistics}, rows, nothing)
    assert 'class="dot line-0"' in html
    assert 'class="dot line-1"' not in html


def test_the_best_epoch_is_taken_from_the_history_where_the_run_does_not_say():
    statistics = made_statistics(Task.SINGLE_LABEL, ["a", "b"])
    run = made_run(Task.SINGLE_LABEL, ["a", "b"], best_epoch=None)
    assert "best, epoch 3" in render_report(run, {"best": statistics}, made_history(), nothing)


def test_the_figures_on_the_page_are_those_of_the_document():
    statistics = made_statistics(Task.SINGLE_LABEL, ["a", "b", "c"])
    text = Page(render_report(made_run(Task.SINGLE_LABEL, "abc"), {"best": statistics}, [], nothing)).text
    test = statistics.splits["test"]
    assert f"{test.metrics['accuracy'].value:.1%}" in text
    assert f"{100 * test.metrics['accuracy'].low:.1f} – {100 * test.metrics['accuracy'].high:.1f}%" in text
    assert f"{test.metrics['cross_entropy'].value:.3f}" in text
    assert all(f"{each.f1:.1%}" in text for each in test.classes)


def test_a_report_of_no_model_is_refused():
    with pytest.raises(ValueError, match="at least one model"):
        render_report(made_run(Task.SINGLE_LABEL, ["a"]), {}, [], nothing)


@pytest.mark.slow
@pytest.mark.parametrize("task", list(Task))
def test_a_thousand_labels_and_heavy_pictures_stay_below_three_megabytes(task):
    labels = [f"label {place:04d} of a long series" for place in range(1000)]
    statistics = made_statistics(task, labels, images=100)
    models = {"best": statistics, "last": statistics}
    heavy = b"\xff\xd8\xff" + np.random.default_rng(0).bytes(60_000)
    html = render_report(made_run(task, labels), models, made_history(500), lambda _: heavy)
    assert len(html.encode()) < LARGEST_REPORT + 100_000
    assert html.count("data:image/jpeg") >= 5
    assert "Filter 1,000 labels" in html


@pytest.mark.parametrize(
    ("seconds", "said"), [(4.26, "4.3 s"), (59.6, "1 min 0 s"), (75.2, "1 min 15 s"), (7_260, "2 h 1 min")]
)
def test_durations_read_as_a_person_says_them(seconds, said):
    assert duration_text(seconds) == said
