"""The recipe of the built-in backbone: what its views show, and that they come again with the same seed."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.backbone.images import EDGE, read_pictures
from benchmarks.backbone.views import ViewMaker, crop, mixed, mosaic, recolour

SMALL = 8  # pixels of the test's images


def maker(seed: int = 0) -> ViewMaker:
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (20, 3, SMALL, SMALL), dtype=np.uint8))
    return ViewMaker(pixels, torch.arange(20), seed)


def test_the_same_seed_and_step_give_the_same_views_and_others_give_others() -> None:
    views = maker().draw(3, 8)
    assert views.pixels.shape == (8, 3, 224, 224)
    assert views.pixels.dtype == torch.float32
    assert 0 <= views.pixels.min() < views.pixels.max() <= 1
    assert torch.equal(views.pixels, maker().draw(3, 8).pixels)
    assert not torch.equal(views.pixels, maker().draw(4, 8).pixels)
    assert not torch.equal(views.pixels, maker(seed=1).draw(3, 8).pixels)


def test_only_a_view_of_one_image_has_a_label() -> None:
    drawn = [maker().draw(step, 8).labels for step in range(24)]
    labelled = [labels for labels in drawn if labels is not None]
    assert 0 < len(labelled) < len(drawn)
    assert all(labels.shape == (8,) for labels in labelled)


def test_a_mosaic_lays_its_images_row_by_row() -> None:
    pixels = torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    laid = mosaic(pixels, torch.tensor([[[0, 1], [2, 3]]])) * 255
    assert laid.shape == (1, 3, 4, 4)
    assert torch.equal(laid[0, 0].round(), torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]))


def test_a_grey_image_stays_even_whatever_is_done_to_it() -> None:
    generator = torch.Generator().manual_seed(0)
    even = torch.full((4, 3, SMALL, SMALL), 0.5)
    for changed in (crop(even, generator, least_area=0.2, bicubic=False), recolour(even, generator)):
        assert changed.flatten(2).std(2).max() < 1e-5
    blended = mixed(torch.cat([even, even * 0]), "mixup", generator)
    assert ((blended >= 0) & (blended <= 0.5)).all()
    assert blended.max() > 0.25  # the own image outweighs the other


def test_archives_are_read_by_name_whatever_their_order(tmp_path: Path) -> None:
    for number, names in enumerate((["b/2.JPEG", "a/1.JPEG"], ["a/3.JPEG"])):
        with tarfile.open(tmp_path / f"{number}.tar.gz", "w:gz") as archive:
            for name in names:
                data = io.BytesIO()
                Image.new("RGB", (EDGE, EDGE), (int(name[2]) * 50,) * 3).save(data, "JPEG")
                entry = tarfile.TarInfo(name)
                entry.size = data.tell()
                data.seek(0)
                archive.addfile(entry, data)
    pictures = read_pictures([tmp_path / "0.tar.gz", tmp_path / "1.tar.gz"])
    assert pictures.classes == ("a", "b")
    assert pictures.labels.tolist() == [0, 0, 1]
    assert pictures.pixels[:, 0, 0, 0].tolist() == pytest.approx([50, 150, 100], abs=2)
    assert len(read_pictures([tmp_path / "0.tar.gz"], limit=1).labels) == 1
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(ValueError, match="expected CLASS/NAME"):
        read_pictures([tmp_path / "empty.tar"])
