"""Where the pages of a grid begin, and what an upload may say of its images."""

from __future__ import annotations

import pytest
from studio_rig import Rig, Workplace, picture, zipped

from studio.access.privileges import Privilege, ProjectRole

SIZE = 50  # the smallest page


@pytest.mark.parametrize("order", ["oldest", "newest", "name", "name_down"])
@pytest.mark.parametrize("with_label", [False, True])
def test_any_page_can_be_asked_for_at_once(work: Workplace, order: str, with_label: bool) -> None:
    images = work.add_images(130)
    (glass,) = work.add_labels("glass")
    work.label(images[7:], glass)
    query = f"order={order}" + (f"&label={glass}" if with_label else "")
    found = work.caller.get(f"{work.path}/images/pages?{query}&limit={SIZE}")
    whole = [image["id"] for image in work.grid(f"&{query}")]
    assert found["images"] == len(whole) == (123 if with_label else 130)
    pages = [
        work.caller.get(f"{work.path}/images?{query}&limit={SIZE}" + (f"&after={start}" if start else ""))["images"]
        for start in (None, *found["starts"])
    ]
    assert [len(page) for page in pages] == [50, 50, len(whole) - 100]
    assert [image["id"] for page in pages for image in page] == whole


def test_the_last_page_is_never_an_empty_one(work: Workplace) -> None:
    images = work.add_images(2 * SIZE)
    assert len(work.caller.get(f"{work.path}/images/pages?limit={SIZE}")["starts"]) == 1
    work.caller.post(f"{work.path}/images/remove", {"images": images[SIZE:]})
    assert work.caller.get(f"{work.path}/images/pages?limit={SIZE}") == {"images": SIZE, "starts": []}
    nothing = work.caller.get(f"{work.path}/images/pages?name=no%20such%20name")
    assert nothing == {"images": 0, "starts": []}


def test_an_upload_flags_its_new_images_for_validation_and_leaves_those_that_were_there(work: Workplace) -> None:
    work.upload({"old.png": picture(1)})
    work.upload_zip(zipped({"again.png": picture(1), "new.png": picture(2)}), "?validation=true")
    assert {image["name"]: image["validation"] for image in work.grid()} == {"old.png": False, "new.png": True}


def test_who_may_upload_and_not_label_cannot_flag_either(rig: Rig) -> None:
    work = rig.workplace()
    rig.add_user("bob")
    rig.share(work.project_id, "bob", ProjectRole.VIEWER, [Privilege.UPLOAD])
    data = zipped({"1.png": picture(1)})
    bob = rig.signed_in("bob")
    path = f"{work.path}/images?validation=true"
    assert bob.refused("POST", path, data=data, content_type="application/zip") == (403, "PRIVILEGE_MISSING")
    assert work.grid() == []
