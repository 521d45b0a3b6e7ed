from __future__ import annotations

import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image

from trainer.report.heatmap import confusion_heatmap, most_frequent_mistakes, shown_classes
from trainer.report.plots import learning_curve
from trainer.report.svg import Frame, element, nice_ticks
from trainer.report.thumbnails import embed_thumbnails, thumbnail_jpeg
from trainer.statistics.document import ConfusionMatrix

SVG = "{http://www.w3.org/2000/svg}"


def matrix(dense: list[list[int]]) -> ConfusionMatrix:
    cells = [(row, column, images) for row, line in enumerate(dense) for column, images in enumerate(line) if images]
    return ConfusionMatrix(classes=len(dense), cells=tuple(cells))


def test_an_element_escapes_text_and_attributes_but_not_its_children():
    made = element("g", element("text", "<&>"), data_tip='"<', class_="a", missing=None)
    assert made == Markup('<g data-tip="&#34;&lt;" class="a"><text>&lt;&amp;&gt;</text></g>')


@pytest.mark.parametrize(
    ("low", "high", "wanted", "ticks"),
    [
        (0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 1.7, 4, [0, 0.5, 1, 1.5]),
        (1, 40, 6, [10, 20, 30, 40]),
        (3, 3, 5, [3]),
    ],
)
def test_ticks_are_round_and_inside(low, high, wanted, ticks):
    assert nice_ticks(low, high, wanted) == pytest.approx(ticks)


def test_a_frame_puts_small_values_left_and_low():
    frame = Frame(10, 20, 100, 50, (0, 2), (0, 1))
    assert frame.point(0, 0) == (10, 70)
    assert frame.point(2, 1) == (110, 20)


def test_the_heat_map_is_well_formed_and_counts_every_cell():
    drawn = ET.fromstring(confusion_heatmap(matrix([[5, 1], [0, 3]]), ["<a>", "b"]))
    cells = [part for part in drawn.iter("g") if part.get("class") == "cm-cell"]
    assert [cell.find("text").text for cell in cells] == ["5", "1", "3"]
    assert cells[1].get("data-tip") == "<a> → b 1 image, 16.7% of <a>"  # XML reads the line break as a space


def test_of_many_classes_the_most_mistaken_are_drawn_in_label_order():
    dense = np.eye(60, dtype=np.int64) * 10
    dense[50, 3] = 7
    shown = shown_classes(dense)
    assert len(shown) == 40
    assert {3, 50} <= set(shown.tolist())
    assert (np.diff(shown) > 0).all()


def test_mistakes_are_listed_most_frequent_first_with_their_share():
    found = most_frequent_mistakes(matrix([[8, 2, 0], [5, 5, 0], [0, 0, 4]]), ["a", "b", "c"])
    assert [(each.truth, each.predicted, each.images, each.share) for each in found] == [
        ("b", "a", 5, 0.5),
        ("a", "b", 2, 0.2),
    ]


def test_a_learning_curve_skips_what_is_missing_or_not_finite():
    rows = [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": float("nan")}, {"epoch": 3, "loss": 0.5}, {"epoch": 4}]
    drawn = ET.fromstring(learning_curve(rows, [("loss", "Train")], "Loss", best_epoch=3, as_percent=False))
    line = next(part for part in drawn.iter("path") if part.get("class") == "line line-0")
    assert line.get("d").count("L") == 1
    assert "nan" not in ET.tostring(drawn, encoding="unicode")
    assert learning_curve([{"epoch": 1}], [("loss", "Train")], "Loss", None, as_percent=False) is None


def test_a_thumbnail_keeps_its_aspect_ratio():
    small = Image.open(io.BytesIO(thumbnail_jpeg(np.zeros((300, 600, 3), dtype=np.uint8))))
    assert small.size == (160, 80)
    assert small.format == "JPEG"


def test_only_jpegs_that_fit_are_embedded_each_once():
    jpeg = thumbnail_jpeg(np.zeros((20, 20, 3), dtype=np.uint8))
    shelf = {"a": jpeg, "png": b"\x89PNG....", "gone": None, "huge": jpeg + bytes(70_000), "b": jpeg}
    embedded = embed_thumbnails(["a", "a", "png", "gone", "huge", "b"], shelf.get, 1_000_000)
    assert list(embedded) == ["a", "b"]
    assert list(embed_thumbnails(["a", "b"], shelf.get, len(embedded["a"]) + 10)) == ["a"]
