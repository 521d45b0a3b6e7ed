"""Changes that cross one another: undo after removals, removals beside labelling, labels that go while in use."""

from __future__ import annotations

from studio_rig import Rig, picture


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
