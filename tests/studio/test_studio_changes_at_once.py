"""Changes that cross one another: undo after removals, removals beside labelling, labels that go while in use."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress

import pytest
from studio_rig import Rig, picture

from studio.images.filters import ids_of_images
from studio.labels import label_files
from studio.labels.changes import label_images
from studio.labels.vocabulary import find_label, find_labels, remove_label
from studio.projects.store import lock_project


def test_an_undo_never_reaches_an_image_that_came_after_the_one_it_meant(rig: Rig) -> None:
    """Also where that is the latest row of its table, whose id SQLite likes to give away again."""
    work, other = rig.workplace(), rig.workplace()
    (cat,) = work.add_labels("cat")
    (image,) = work.add_images(1)
    work.label([image], cat)
    work.label([image], remove=[cat])
    work.caller.post(f"{work.path}/validation", {"selection": {"images": [image]}, "validation": True})
    work.caller.delete(f"{work.path}/images/{image}")
    other.upload({"theirs.png": picture(7)})
    work.upload({"new.png": picture(8)})
    for _ in range(2):
        work.undo()
    assert work.labels_by_name() == {"new.png": []}
    (theirs,) = other.grid()
    assert (theirs["labels"], theirs["validation"]) == ([], False)
    other.check_counts()


def test_a_project_that_is_deleted_leaves_its_id_to_no_other_so_that_no_upload_lands_there(rig: Rig) -> None:
    work = rig.workplace()
    body = picture(1)
    before = work.project_id
    work.caller.delete(work.path)
    rig.add_user("next")
    assert rig.add_project("next")[0] != before
    assert work.caller.refused("POST", f"{work.path}/images", data=body, content_type="application/zip")[0] == 404


@pytest.mark.parametrize("what", ["merged into", "renamed", "removed"])
def test_a_label_that_goes_while_another_change_waits_is_used_no_more(rig: Rig, what: str) -> None:
    """Somebody holds the project and removes a label; whoever comes meanwhile finds it gone, not half there."""
    work = rig.workplace()
    cat, dog = work.add_labels("cat", "dog")
    images = work.add_images(2)
    work.label(images, cat)
    path = f"{work.path}/labels"
    calls = {
        "merged into": ("POST", f"{path}/{cat}/merge", {"into": dog}),
        "renamed": ("PATCH", f"{path}/{dog}", {"name": "wolf"}),
        "removed": ("DELETE", f"{path}/{dog}", None),
    }
    method, address, body = calls[what]
    with ThreadPoolExecutor(1) as pool:
        with rig.parts.database.writing() as connection:
            lock_project(connection, work.project_id)
            waiting = pool.submit(work.caller.refused, method, address, json=body)
            with suppress(FutureTimeout):
                waiting.result(1)  # long enough to get to the lock, and on the way to it as far as it can
            row = find_label(connection, work.project_id, dog)
            remove_label(connection, row, rig.user_id(work.owner), rig.clock())
        assert waiting.result(60) == (404, "NOT_FOUND")
    work.check_counts()
    assert work.labels_by_name() == {"0.png": ["cat"], "1.png": ["cat"]}


def test_an_image_that_leaves_a_filter_while_its_removal_waits_stays(rig: Rig) -> None:
    work = rig.workplace()
    (bad,) = work.add_labels("bad")
    first, second = work.add_images(2)
    work.label([first, second], bad)
    body = {"selection": {"filter": {"label": [bad]}}}["selection"]
    with ThreadPoolExecutor(1) as pool:
        with rig.parts.database.writing() as connection:
            lock_project(connection, work.project_id)
            waiting = pool.submit(work.caller.post, f"{work.path}/images/remove", body)
            with suppress(FutureTimeout):
                waiting.result(1)
            ids = ids_of_images(connection, work.project_id, [first])
            (label,) = find_labels(connection, work.project_id, [bad]).values()
            event = label_images(connection, work.project_id, rig.user_id(work.owner), ids, rig.clock(), remove=[label])
            event.finish()
        assert waiting.result(60) == {"images": 1}
    assert [image["id"] for image in work.grid()] == [first]


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_client_that_reads_its_label_file_slowly_holds_no_connection(
    rig: Rig, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_files, "AT_ONCE", 2)
    work = rig.workplace()
    work.add_images(5)
    write = label_files.write_csv if kind == "csv" else label_files.write_json
    lines = write(rig.parts.database, work.project_id)
    next(lines)
    assert rig.parts.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert len(list(lines)) == (4 if kind == "csv" else 5)
