"""Similar images, near-duplicates, candidates for a label: by features that a real process of the trainer has read."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from sqlalchemy import select
from studio_rig import Workplace

from benchmarks.shared_data import DATASETS
from studio.access.privileges import Scope
from studio.database.tables import jobs
from studio.jobs import queue
from studio.jobs.queue import SHORT_KINDS, Kind
from studio.jobs.worker import Worker
from studio.similarity.doubts import doubts
from studio.similarity.encode import ImageEncoder
from studio.similarity.neighbours import Neighbours, NeighbourStore, Working, find_neighbours
from studio.similarity.search import best
from studio.similarity.store import FeatureStore, ProjectFeatures
from trainer.data.fingerprint import FINGERPRINT_BYTES, HASH_BYTES, THUMBNAIL_SIDE
from trainer.directions import LENGTH, directions

PHOTOS = DATASETS / "trashnet_256.zip"


def made(vectors: Any, prints: Any = None) -> ProjectFeatures:
    """Of vectors (N, LENGTH), brought to length one; images called i000, i001...; unless told otherwise none looks like
    another."""
    rows = np.asarray(vectors, np.float32)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    names = tuple(f"i{number:03}" for number in range(len(rows)))
    if prints is None:
        prints = np.random.default_rng(0).integers(0, 256, (len(rows), FINGERPRINT_BYTES), np.uint8)
    return ProjectFeatures(
        np.arange(len(rows)), names, tuple(f"{n:064x}" for n in range(len(rows))), rows, prints, len(rows),
        {name: row for row, name in enumerate(names)},
    )  # fmt: skip


def test_directions_keep_cosines_and_the_nearer_the_better() -> None:
    rng = np.random.default_rng(0)
    base = rng.gamma(0.4, size=(200, 1648)).astype(np.float32)
    near = base * rng.uniform(0.9, 1.1, base.shape).astype(np.float32)
    roots = [np.sqrt(rows) / np.linalg.norm(np.sqrt(rows), axis=1, keepdims=True) for rows in (base, near)]
    exact = (roots[0] * roots[1]).sum(axis=1)
    short = (directions(base) * directions(near)).sum(axis=1)
    assert short.shape == (200,)
    assert np.abs(short - exact).max() < 0.002
    far = np.abs(directions(base) @ directions(base).T - roots[0] @ roots[0].T)
    assert far.max() < 0.2
    assert np.array_equal(directions(np.zeros((1, 1648), np.float32)), np.zeros((1, LENGTH), np.float32))


def test_neighbours_are_those_of_a_whole_comparison() -> None:
    features = made(np.random.default_rng(1).standard_normal((1300, LENGTH)))
    found = find_neighbours(features)
    cosines = features.vectors @ features.vectors.T
    np.fill_diagonal(cosines, -2)
    expected = np.argsort(-cosines, axis=1, kind="stable")[:, :10]
    assert (found.nearest == expected).mean() > 0.999


def test_while_images_come_in_only_the_newest_question_is_worked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    growing = [made(rng.standard_normal((count, LENGTH))) for count in range(5, 15)]

    def endless(features: ProjectFeatures, working: Working) -> Neighbours:
        if features is not growing[-1]:
            assert working.dropped.wait(600)
        return find_neighbours(features, working)

    monkeypatch.setattr("studio.similarity.neighbours.find_neighbours", endless)
    store = NeighbourStore()
    asked = [store.of(1, features, 0) for features in growing[:-1]]
    assert all(isinstance(each, Working) for each in asked)
    assert isinstance(store.of(1, growing[-1], 300), Neighbours)
    assert [each.dropped.is_set() for each in asked if isinstance(each, Working)] == [True] * 9


def test_groups_hang_together_by_pairs_and_grow_as_the_threshold_falls() -> None:
    rng = np.random.default_rng(2)
    base = rng.standard_normal((4, LENGTH))
    rows = [
        base[0],
        base[0] + 0.01 * rng.standard_normal(LENGTH),
        base[1],
        base[1] + 0.2 * rng.standard_normal(LENGTH),
        base[2],
        base[3],
        base[3] + 0.01 * rng.standard_normal(LENGTH),  # as near as a copy, and looks like nothing else here
    ]
    prints = rng.integers(0, 256, (7, FINGERPRINT_BYTES), np.uint8)
    for original, mirrored in ((0, 1), (2, 3)):
        cells = prints[original, HASH_BYTES:].reshape(THUMBNAIL_SIDE, THUMBNAIL_SIDE, 3)
        prints[mirrored, HASH_BYTES:] = cells[:, ::-1].ravel()
    found = find_neighbours(made(rows, prints))
    assert [group.tolist() for group in found.groups(0.985)] == [[0, 1]]
    assert [group.tolist() for group in found.groups(0.97)] == [[0, 1], [2, 3]]


def test_an_image_among_others_of_one_label_is_doubted() -> None:
    nearest = np.array(
        [[1, 2, 3, 4, 5]] + [[0, *(other for other in range(1, 7) if other != row)][:5] for row in range(1, 7)]
    )
    labels = np.array([1, 0, 0, 0, 0, 0, -1])
    (doubt,) = doubts(nearest, labels, 2)
    assert (doubt.row, doubt.add, doubt.remove, doubt.share) == (0, 0, 1, 1.0)


def test_the_best_rows_are_in_order_whatever_the_limit() -> None:
    scores = np.random.default_rng(3).standard_normal(5000).astype(np.float32)
    among = scores < 2
    expected = [row for row in np.argsort(-scores, kind="stable") if among[row] and scores[row] >= 0]
    for limit in (1, 7, 100, 5000):
        assert best(scores, among, limit, 0.0).tolist() == expected[:limit]


# With real photos


@pytest.fixture(scope="session")
def pictures() -> dict[str, bytes]:
    """Twelve photos of four classes, and four changed copies of the first of each class."""
    if not PHOTOS.exists():
        pytest.skip(f"needs {PHOTOS}")
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(PHOTOS) as archive:
        for label in ("glass", "metal", "paper", "trash"):
            names = sorted(name for name in archive.namelist() if f"/{label}/" in name and name.endswith(".jpg"))
            for number, name in enumerate(names[:60:20]):
                found[f"{label}{number}.jpg"] = archive.read(name)
            for change, edit in CHANGES.items():
                stream = io.BytesIO()
                edit(Image.open(io.BytesIO(found[f"{label}0.jpg"]))).save(stream, "JPEG", quality=75)
                found[f"{label}0-{change}.jpg"] = stream.getvalue()
    return found


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half": lambda image: image.resize((image.width // 2, image.height // 2)),
    "crop": lambda image: image.crop((6, 5, image.width - 8, image.height - 6)),
    "bright": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
}


@pytest.fixture(scope="session")
def feature_home(tmp_path_factory: pytest.TempPathFactory, pictures: dict[str, bytes]) -> Path:
    """A home whose cache knows the pictures: read once, by a process of the trainer."""
    home = tmp_path_factory.mktemp("features")
    for name, data in pictures.items():
        (home / name).write_bytes(data)
    files = home / "files.json"
    files.write_text(json.dumps([str(home / name) for name in pictures]))
    environment = {**os.environ, "ONSIGHT_HOME": str(home)}
    subprocess.run(
        [sys.executable, "-m", "trainer.index", files, home / "out"], env=environment, check=True, timeout=300
    )
    assert (home / "out" / "indexed").read_text() == "{}"
    return home


@pytest.fixture
def known(work: Workplace, pictures: dict[str, bytes], feature_home: Path) -> tuple[Workplace, dict[str, str]]:
    """A project with the pictures, whose features are known; ids by name."""
    object.__setattr__(work.rig.parts, "features", FeatureStore(feature_home / "cache"))
    report = work.upload(pictures)
    return work, {file["name"]: file["image"] for file in report["files"]}


@pytest.mark.slow
def test_a_changed_photo_is_the_most_alike(known: tuple[Workplace, dict[str, str]]) -> None:
    work, ids = known
    for label in ("glass", "metal", "paper", "trash"):
        found = work.caller.get(f"{work.path}/similarity?image={ids[f'{label}0.jpg']}&limit=3")["images"]
        assert {each["name"] for each in found} == {f"{label}0-{change}.jpg" for change in CHANGES}
        assert found[0]["score"] >= found[-1]["score"] > 0.97
    state = work.caller.get(f"{work.path}/features")
    assert (state["images"], state["known"], state["state"]) == (len(ids), len(ids), "idle")


@pytest.mark.slow
def test_near_duplicates_are_the_changed_photos_and_no_others(known: tuple[Workplace, dict[str, str]]) -> None:
    work, ids = known
    bin_id, cup_id = work.add_labels("bin", "cup")
    work.label([ids["glass0-half.jpg"]], bin_id)
    work.label([ids["glass0-crop.jpg"]], cup_id)
    work.label([ids["metal0-half.jpg"]], bin_id)
    told = work.caller.get(f"{work.path}/near-duplicates?threshold=0.98")
    assert (told["state"], told["count"]) == ("ready", 4)
    for group in told["groups"]:
        names = {each["name"] for each in group["images"]}
        label = min(names).partition("0")[0]
        assert names <= {f"{label}0.jpg", *(f"{label}0-{change}.jpg" for change in CHANGES)}
        assert len(names) >= 3
        assert group["disagree"] is (label == "glass")
        if label == "metal":
            assert group["images"][0]["name"] == "metal0-half.jpg"  # the labelled one stays, small as it is
    assert told["spare"] == sum(len(group["images"]) - 1 for group in told["groups"])


@pytest.mark.slow
def test_candidates_for_a_label_look_like_it_and_a_rejected_one_does_not_come_again(
    known: tuple[Workplace, dict[str, str]],
) -> None:
    work, ids = known
    glass, paper = work.add_labels("glass", "paper")
    path = f"{work.path}/suggestions?label={glass}"
    assert work.caller.refused("GET", path) == (404, "NOT_KNOWN")
    work.label([ids["glass0.jpg"]], glass)
    work.label([ids["paper0.jpg"]], paper)
    found = [each["name"] for each in work.caller.get(path)["images"]]
    assert set(found[:3]) == {f"glass0-{change}.jpg" for change in CHANGES}
    assert "glass0.jpg" not in found
    body = {"label": glass, "selection": {"images": [ids["glass0-crop.jpg"]]}}
    assert work.caller.post(f"{work.path}/rejections", body) == {"images": 1}
    assert work.caller.post(f"{work.path}/rejections", body) == {"images": 1}
    again = [each["name"] for each in work.caller.get(path)["images"]]
    assert "glass0-crop.jpg" not in again
    assert len(again) == len(found) - 1
    only = work.caller.get(f"{path}&unlabelled=true")["images"]
    assert all(each["labels"] == [] for each in only)


@pytest.mark.slow
def test_removed_images_vanish_at_once_and_new_ones_are_missing_until_read(
    known: tuple[Workplace, dict[str, str]],
) -> None:
    work, ids = known
    path = f"{work.path}/similarity?image={ids['glass0.jpg']}&limit=100"
    before = [each["name"] for each in work.caller.get(path)["images"]]
    work.caller.delete(f"{work.path}/images/{ids['glass0-half.jpg']}")
    (new,) = work.add_images(1, "new")
    told = work.caller.get(path)
    assert [each["name"] for each in told["images"]] == [name for name in before if name != "glass0-half.jpg"]
    assert (told["known"], told["total"]) == (len(ids) - 1, len(ids))
    assert work.caller.refused("GET", f"{work.path}/similarity?image={new}") == (404, "NOT_KNOWN")
    other = work.rig.workplace()
    assert other.caller.refused("GET", f"{other.path}/similarity?image={ids['glass0.jpg']}")[0] == 404


@pytest.mark.slow
def test_a_worker_reads_what_is_not_known_and_leaves_no_job_behind(
    work: Workplace, pictures: dict[str, bytes], feature_home: Path, database_kind: str
) -> None:
    parts = work.rig.parts
    object.__setattr__(parts, "features", FeatureStore(feature_home / "cache"))
    work.upload({name: pictures[name] for name in ("glass0.jpg", "metal0.jpg")})
    stream = io.BytesIO()
    Image.new("RGB", (80, 60), (20, 200, len(database_kind))).save(stream, "PNG")  # none that was read before
    work.upload({"new.png": stream.getvalue()})
    assert work.caller.post(f"{work.path}/features")["state"] == "waiting"
    assert work.caller.post(f"{work.path}/features")["known"] == 2
    assert work.caller.get(f"{work.path}/jobs")["jobs"] == []
    with parts.database.reading() as connection:
        assert [row.kind for row in connection.execute(select(jobs))] == [Kind.FEATURES]
    environment = {**os.environ, "ONSIGHT_HOME": str(feature_home)}
    root = parts.settings.jobs_folder
    root.mkdir(parents=True, exist_ok=True)
    worker = Worker(parts.database, parts.originals, root, environment, parts.now, kinds=SHORT_KINDS, interval_s=0.1)
    assert worker.run_one()
    assert work.caller.get(f"{work.path}/features") == {
        "images": 3, "known": 3, "state": "idle", "done": None, "total": None, "eta_s": None,
    }  # fmt: skip
    assert list(root.iterdir()) == []
    assert queue.claim(parts.database, "w", parts.now() + timedelta(hours=1)) is None


@pytest.mark.slow
def test_the_cloud_call_finds_an_image_by_another_of_the_same(
    known: tuple[Workplace, dict[str, str]], pictures: dict[str, bytes], feature_home: Path
) -> None:
    work, ids = known
    object.__setattr__(work.rig.parts, "encoder", ImageEncoder(feature_home / "cache"))
    glass, _ = work.add_labels("glass", "metal")
    work.label([ids["glass1.jpg"]], glass)
    path = f"/api/similarity?project={work.public_id}"
    options: Any = {"data": pictures["metal0-crop.jpg"], "content_type": "application/octet-stream"}
    found = work.caller.ask("POST", f"{path}&limit=4", **options).json
    assert found is not None
    assert found[0] == {"image": "metal0-crop.jpg", "score": pytest.approx(100, abs=0.01)}
    assert {each["image"] for each in found} == {"metal0.jpg", *(f"metal0-{change}.jpg" for change in CHANGES)}
    assert [each["image"] for each in work.caller.ask("POST", f"{path}&labels=glass,metal", **options).json or ()] == [
        "glass1.jpg"
    ]
    assert work.caller.ask("POST", f"{path}&labels=glass,metal&and=true", **options).json == []
    assert len(work.caller.ask("POST", f"{path}&threshold=97&limit=100", **options).json or ()) == 4
    stranger = work.rig.somebody("stranger")
    assert stranger.refused("POST", path, **options) == (404, "PROJECT_NOT_FOUND")
    blind = work.rig.by_token(work.owner, Scope.PREDICT)
    assert blind.refused("POST", path, **options)[0] in (403, 404)
    broken: Any = {"data": b"no image", "content_type": "application/octet-stream"}
    assert work.caller.refused("POST", path, **broken)[0] == 415


def test_neighbours_hold_what_they_say() -> None:
    empty = made(np.zeros((0, LENGTH)))
    found = find_neighbours(empty)
    assert isinstance(found, Neighbours)
    assert found.groups(0.98) == []
