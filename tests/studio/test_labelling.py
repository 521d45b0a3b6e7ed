"""Labels on images: one or ten thousand at once, defaults, flags, and an undo that touches nothing of others."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select
from studio_rig import NOON, Rig, Workplace, picture

from studio.access.privileges import ProjectRole, Scope
from studio.database.metadata import new_public_id
from studio.database.tables import events, images
from studio.labels.id_sets import pack, unpack
from studio.labels.label_files import read_labels


def state(work: Workplace) -> list[tuple[Any, ...]]:
    """All that labelling can change, of every image."""
    return [
        (image["name"], image["labels"], image["default_label"], image["default_chosen"], image["validation"])
        for image in work.grid()
    ]


@pytest.mark.parametrize("ids", [[], [1], [5, 6, 7], [3, 1, 2], [2**40, 2**40 + 9]])
def test_a_set_of_ids_comes_back_as_it_was(ids: list[int]) -> None:
    assert unpack(pack(ids)) == ids
    assert len(pack(range(100_000))) < 5_000


def test_labels_go_on_and_off_and_only_what_changes_counts(work: Workplace) -> None:
    one, two, three = work.add_images(3)
    cat, dog = work.add_labels("cat", "dog")
    assert work.label([one, two], cat)["images"] == 2
    assert work.label([one, two, three], cat)["images"] == 1
    assert work.label([one], cat) == {"event": None, "images": 0}
    work.label([two], dog, remove=[cat])
    assert work.labels_by_name() == {"0.png": ["cat"], "1.png": ["dog"], "2.png": ["cat"]}
    work.label([one, two, three], dog, replace=True)
    assert work.labels_by_name() == {f"{number}.png": ["dog"] for number in range(3)}
    assert work.check_counts()["single"] == 3


def test_a_selection_is_a_list_or_a_filter_less_some(work: Workplace) -> None:
    ids = work.add_images(6)
    cat, dog = work.add_labels("cat", "dog")
    work.label(ids[:4], cat)
    body = {"selection": {"filter": {"label": [cat]}, "but": [ids[0]]}, "add": [dog]}
    assert work.caller.post(f"{work.path}/labelling", body)["images"] == 3
    body = {"selection": {"filter": {"kind": ["unlabelled"]}}, "add": [dog]}
    assert work.caller.post(f"{work.path}/labelling", body)["images"] == 2
    assert work.caller.post(f"{work.path}/labelling", {"selection": {"filter": {}}, "remove": [dog]})["images"] == 5
    for wrong in ({}, {"images": [], "filter": {}}, {"images": ["../x"]}, {"filter": {"colour": "red"}}):
        assert work.caller.refused("POST", f"{work.path}/labelling", json={"selection": wrong}) == (400, "JSON_INVALID")


def test_what_is_not_in_the_project_cannot_be_labelled_and_nothing_else_is(rig: Rig) -> None:
    work, other = rig.workplace(), rig.workplace()
    (mine,), (theirs,) = work.add_images(1), other.add_images(1)
    (cat,), (their_cat,) = work.add_labels("cat"), other.add_labels("cat")
    for selected, label in (([mine, theirs], cat), ([mine], their_cat), ([mine, "gone1234567"], cat)):
        body = {"selection": {"images": selected}, "add": [label]}
        assert work.caller.refused("POST", f"{work.path}/labelling", json=body) == (404, "NOT_FOUND")
    assert work.labels_by_name() == {"0.png": []}
    assert other.labels_by_name() == {"0.png": []}


def test_the_default_label_is_the_only_one_or_the_chosen_one(work: Workplace) -> None:
    one, two, three = work.add_images(3)
    cat, dog = work.add_labels("cat", "dog")
    work.label([one, two], cat)
    work.label([two, three], dog)

    def defaults() -> list[Any]:
        return [(image["default_label"], image["default_chosen"]) for image in work.grid()]

    assert defaults() == [(cat, False), (None, False), (dog, False)]
    star = {"selection": {"filter": {"label": [dog]}}, "label": dog}
    assert work.caller.post(f"{work.path}/default-label", star)["images"] == 2
    assert defaults() == [(cat, False), (dog, True), (dog, True)]
    nothing = {"selection": {"images": [one]}, "label": dog}  # an image without the label cannot have it as default
    assert work.caller.post(f"{work.path}/default-label", nothing) == {"event": None, "images": 0}
    work.label([one, three], cat, default=True)
    assert defaults() == [(cat, True), (dog, True), (cat, True)]
    assert [image["name"] for image in work.grid(f"&default_label={cat}")] == ["0.png", "2.png"]
    work.label([two], remove=[dog])
    assert defaults()[1] == (cat, False)
    work.caller.post(f"{work.path}/default-label", {"selection": {"filter": {}}, "label": None})
    assert defaults() == [(cat, False), (cat, False), (None, False)]


def test_undo_goes_back_step_by_step_to_the_beginning(work: Workplace) -> None:
    """Twenty random changes of every kind, and back: after each undo all is as it was before the change."""
    draw = random.Random(5)
    ids = work.add_images(8)
    labels = work.add_labels("a", "b", "c")
    states = []
    for _ in range(20):
        before = state(work)
        selection = {"images": draw.sample(ids, draw.randint(1, 8))}
        kind, label = draw.choice(["add", "remove", "replace", "default", "validation"]), draw.choice(labels)
        if kind == "default":
            answer = work.caller.post(f"{work.path}/default-label", {"selection": selection, "label": label})
        elif kind == "validation":
            body = {"selection": selection, "validation": draw.random() < 0.6}
            answer = work.caller.post(f"{work.path}/validation", body)
        else:
            body = {"selection": selection, "replace": kind == "replace"}
            body |= {"remove": [label]} if kind == "remove" else {"add": [label], "default": draw.random() < 0.3}
            answer = work.caller.post(f"{work.path}/labelling", body)
        if answer["event"] is not None:
            states.append(before)
    assert len(states) > 12
    for expected in reversed(states):
        work.undo()
        assert state(work) == expected
        work.check_counts()
    events_page = work.caller.get(f"{work.path}/events")["events"]
    assert [event["kind"] for event in events_page[: len(states)]] == ["undo"] * len(states)
    for _ in labels:
        work.undo()
    assert work.caller.refused("POST", f"{work.path}/undo") == (409, "NOTHING_TO_UNDO")


def test_an_undo_takes_back_ones_own_and_leaves_what_others_did_since(work: Workplace) -> None:
    one, two = work.add_images(2)
    cat, dog = work.add_labels("cat", "dog")
    other = work.rig.somebody("other")
    work.rig.share(work.project_id, "other", ProjectRole.LABELLER)

    def by_other(**body: Any) -> None:
        other.post(f"{work.path}/labelling", {"selection": {"images": [one]}, **body})

    work.label([one, two], cat)
    by_other(remove=[cat])
    by_other(add=[cat, dog])  # the other's cat now
    assert other.refused("POST", f"{work.path}/labels", json={"name": "x"}) == (403, "PRIVILEGE_MISSING")
    assert work.undo()["images"] == 1
    assert work.labels_by_name() == {"0.png": ["cat", "dog"], "1.png": []}
    other.post(f"{work.path}/undo")
    other.post(f"{work.path}/undo")
    assert work.labels_by_name() == {"0.png": ["cat"], "1.png": []}  # what was taken off comes back
    assert [image["name"] for image in work.grid(f"&labelled_by={work.caller.get('/studio/v1/session')['id']}")] == [
        "0.png"
    ]


def test_an_undo_passes_over_images_that_are_gone(work: Workplace) -> None:
    one, two = work.add_images(2)
    (cat,) = work.add_labels("cat")
    work.label([one, two], cat)
    work.label([one, two], remove=[cat])
    work.caller.delete(f"{work.path}/images/{one}")
    assert work.undo()["images"] == 1
    assert work.labels_by_name() == {"1.png": ["cat"]}
    work.undo()
    assert work.labels_by_name() == {"1.png": []}


def test_labels_are_renamed_merged_and_removed_and_all_of_it_comes_back(work: Workplace) -> None:
    ids = work.add_images(3)
    cat, kitten, dog = work.add_labels("cat", "kitten", "dog")
    work.label(ids[:2], kitten, default=True)
    work.label([ids[0]], cat)
    work.label([ids[2]], dog)
    path = f"{work.path}/labels"
    before = state(work)
    assert work.caller.refused("PATCH", f"{path}/{kitten}", json={"name": " cat "}) == (409, "LABEL_TAKEN")
    assert work.caller.post(f"{path}/{kitten}/merge", {"into": cat}) == {"images": 2}
    assert work.labels_by_name() == {"0.png": ["cat"], "1.png": ["cat"], "2.png": ["dog"]}
    assert [image["default_label"] for image in work.grid()] == [cat, cat, dog]
    work.check_counts()
    assert work.caller.refused("POST", f"{path}/{kitten}/merge", json={"into": cat}) == (404, "NOT_FOUND")
    assert work.caller.refused("POST", f"{path}/{cat}/merge", json={"into": cat}) == (400, "VALUE_INVALID")
    assert work.undo()["kind"] == "merge_labels"
    assert state(work) == before
    work.caller.delete(f"{path}/{dog}")
    assert work.labels_by_name()["2.png"] == []
    assert work.caller.patch(f"{path}/{cat}", {"name": "dog"})["name"] == "dog"  # the name is free
    work.undo()
    assert work.undo()["kind"] == "remove_label"
    assert state(work) == before
    work.caller.delete(f"{path}/{dog}")
    work.add_labels("dog")
    work.rig.clock.pass_(seconds=1)
    work.undo()  # the new one
    work.undo()
    assert state(work) == before


def test_what_cannot_be_undone_any_more_bars_no_earlier_change(work: Workplace) -> None:
    (one,) = work.add_images(1)
    (cat,) = work.add_labels("cat")
    work.label([one], cat)
    work.caller.patch(f"{work.path}/labels/{cat}", {"name": "feline"})
    other = work.rig.somebody("other")
    work.rig.share(work.project_id, "other", ProjectRole.EDITOR)
    other.post(f"{work.path}/labels", {"name": "cat"}, 201)
    assert work.undo()["kind"] == "label"  # the renaming is passed over: its name is another label's by now
    assert work.labels_by_name() == {"0.png": []}
    assert work.undo()["kind"] == "add_label"
    before = work.caller.get(f"{work.path}/labels")
    assert work.caller.refused("POST", f"{work.path}/undo") == (409, "LABEL_TAKEN")  # it alone is left
    assert work.caller.get(f"{work.path}/labels") == before


def test_labels_stand_in_the_order_that_the_number_keys_follow(work: Workplace) -> None:
    a, b, c, d = work.add_labels("a", "b", "c", "d")
    ordered = work.caller.put(f"{work.path}/labels/order", {"labels": [d, b]})["labels"]
    assert [label["id"] for label in ordered] == [d, b, a, c]
    assert len({label["colour"] for label in ordered}) == 4
    assert work.caller.patch(f"{work.path}/labels/{a}", {"colour": "#123456"})["colour"] == "#123456"
    for wrong in ({"name": ""}, {"name": "x" * 101}, {"name": "a\u0007"}):
        assert work.caller.refused("POST", f"{work.path}/labels", json=wrong)[0] == 400
    assert work.caller.refused("PATCH", f"{work.path}/labels/{a}", json={"colour": "red"}) == (400, "JSON_INVALID")


def test_two_spellings_of_an_accent_are_one_label(work: Workplace) -> None:
    work.add_labels("caf\u00e9")
    again = {"name": "cafe\u0301"}
    assert work.caller.refused("POST", f"{work.path}/labels", json=again) == (409, "LABEL_TAKEN")


def add_rows(work: Workplace, count: int) -> list[str]:
    """Images without files: what labelling is about."""
    rows = [
        {"public_id": new_public_id(), "project_id": work.project_id, "name": f"{n:06}.jpg", "sha256": f"{n:064x}",
         "bytes": 1, "width": 1, "height": 1, "format": "JPEG", "created_at": NOON, "validation": False,
         "label_count": 0}
        for n in range(count)
    ]  # fmt: skip
    with work.rig.parts.database.writing() as connection:
        connection.execute(insert(images), rows)
    return [str(row["public_id"]) for row in rows]


def test_ten_thousand_images_are_one_event_and_one_undo(work: Workplace) -> None:
    ids = add_rows(work, 10_000)
    cat, dog = work.add_labels("cat", "dog")
    assert work.label(ids, cat)["images"] == 10_000
    assert work.caller.post(f"{work.path}/labelling", {"selection": {"filter": {}}, "add": [dog]})["images"] == 10_000
    assert work.caller.get(f"{work.path}/counts") | {"labels": None} == {
        "images": 10_000, "unlabelled": 0, "single": 0, "multi": 10_000, "validation": 0, "labels": None,
    }  # fmt: skip
    assert work.undo()["images"] == 10_000
    assert work.caller.post(f"{work.path}/labels/{cat}/merge", {"into": dog})["images"] == 10_000
    work.undo()
    counts = {one["label"]: one["images"] for one in work.caller.get(f"{work.path}/counts")["labels"]}
    assert counts == {cat: 10_000, dog: 0}


def test_pages_follow_one_another_without_gaps_whatever_happens_between(work: Workplace) -> None:
    ids = add_rows(work, 230)
    cat, dog = work.add_labels("cat", "dog")
    work.label(ids[::2], cat)
    work.label(ids[::3], dog)
    names = {one: f"{place:06}.jpg" for place, one in enumerate(ids)}
    filters: dict[str, list[str]] = {
        "": ids,
        f"&label={cat}": ids[::2],
        f"&label={cat}&label={dog}": ids[::6],
        f"&label={cat}&without_label={dog}": [one for one in ids[::2] if one not in ids[::3]],
        "&kind=unlabelled": [one for one in ids if one not in ids[::2] and one not in ids[::3]],
        "&kind=single&kind=multi": [one for one in ids if one in ids[::2] or one in ids[::3]],
        "&kind=multi": ids[::6],
        "&name=00011": [ids[11], *ids[110:120]],
        "&name=%25": [],
        "&validation=true": [],
    }
    for query, expected in filters.items():
        for order in ("oldest", "newest", "name", "name_down"):
            found: list[str] = []
            after = ""
            while True:
                page = work.caller.get(f"{work.path}/images?limit=37&order={order}{query}{after}")
                found += [image["name"] for image in page["images"]]
                if page["next"] is None:
                    break
                after = f"&after={page['next']}"
            wanted = [names[one] for one in expected]
            assert found == (wanted[::-1] if order in ("newest", "name_down") else wanted), (query, order)
    first = work.caller.get(f"{work.path}/images?limit=3")
    work.caller.post(f"{work.path}/images/remove", {"images": ids[1:3]})  # the last of the page among them
    second = work.caller.get(f"{work.path}/images?limit=2&after={first['next']}")
    assert [image["id"] for image in second["images"]] == ids[3:5]
    refused = work.caller.refused("GET", f"{work.path}/images?order=name&after={first['next']}")
    assert refused == (400, "CURSOR_INVALID")
    assert work.caller.refused("GET", f"{work.path}/images?label=unknown") == (404, "NOT_FOUND")


def test_many_who_label_at_once_lose_nothing(work: Workplace) -> None:
    ids = work.add_images(12)
    labels = work.add_labels(*"abcd")
    callers = [work.rig.signed_in(work.owner) for _ in range(4)]

    def go(number: int) -> None:
        for image in ids:
            body = {"selection": {"images": [image]}, "add": [labels[number]]}
            assert callers[number].ask("POST", f"{work.path}/labelling", json=body).status_code == 200

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(go, range(4)))
    assert all(len(image["labels"]) == 4 for image in work.grid())
    assert work.check_counts()["multi"] == 12
    with work.rig.parts.database.reading() as connection:
        assert len(connection.execute(select(events).where(events.c.kind == "label")).all()) == 48


# Label files


def send(work: Workplace, text: str, query: str = "", kind: str = "text/csv") -> dict[str, Any]:
    answer: dict[str, Any] = work.caller.post(f"{work.path}/label-file{query}", data=text.encode(), content_type=kind)
    return answer


def test_a_label_file_labels_and_reports_what_it_cannot_mean(work: Workplace) -> None:
    work.add_images(3, "a/")
    work.upload({"b/0.png": b"no image"})
    result = send(work, "filename,label\n0.png,cat\na/1.png,cat|dog\nnowhere.png,cat\n")
    assert (result["rows"], result["meant"], result["images"], result["unknown"]) == (3, 2, 2, ["nowhere.png"])
    assert work.labels_by_name() == {"a/0.png": ["cat"], "a/1.png": ["cat", "dog"], "a/2.png": []}
    result = send(work, '{"a/1.png": ["fish, fried"], "2.png": []}', "?mode=replace", "application/json")
    assert work.labels_by_name() == {"a/0.png": ["cat"], "a/1.png": ["fish, fried"], "a/2.png": []}
    work.undo()
    work.undo()
    assert set(map(tuple, work.labels_by_name().values())) == {()}


def test_a_name_of_several_images_is_ambiguous_and_a_split_sets_the_flag(work: Workplace) -> None:
    work.add_images(2, "a/")
    work.upload({"b/0.png": work.rig.parts.originals.read(work.grid()[0]["sha256"]) + b"\0"})
    result = send(work, "file,label,split\n0.png,cat,train\n1.png,cat,validation\n")
    assert (result["ambiguous"], result["meant"]) == (["0.png"], 1)
    assert [image["validation"] for image in work.grid()] == [False, True, False]


def test_labels_go_out_and_come_in_again_as_they_were(work: Workplace) -> None:
    ids = work.add_images(4)
    cat, comma, quote = work.add_labels("cat", "fish, fried", 'a "b"')
    work.label(ids[:3], cat)
    work.label(ids[1:3], comma, quote)
    before = work.labels_by_name()
    answer = work.caller.ask("GET", f"{work.path}/label-file?format=json")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="labels.json"'
    assert answer.json == before
    csv_text = work.caller.ask("GET", f"{work.path}/label-file").data.decode()
    assert csv_text.splitlines()[0] == "0.png,cat"
    work.caller.post(f"{work.path}/labelling", {"selection": {"filter": {}}, "remove": [cat, comma, quote]})
    send(work, answer.data.decode(), kind="application/json")
    assert work.labels_by_name() == before


def test_a_spreadsheet_runs_nothing_of_a_label_file_and_it_comes_in_again_as_it_was(work: Workplace) -> None:
    work.upload({"=1+1.png": picture(1), "@b.png": picture(2)})
    label, minus = work.add_labels('=HYPERLINK("x")', "-2")
    work.label([image["id"] for image in work.grid()], label, minus)
    before = work.labels_by_name()
    text = work.caller.ask("GET", f"{work.path}/label-file").data.decode()
    assert [line.lstrip('"')[0] for line in text.splitlines()] == ["'", "'"]
    assert ",'-2" in text
    work.caller.post(f"{work.path}/labelling", {"selection": {"filter": {}}, "remove": [label, minus]})
    assert send(work, text)["unknown"] == []
    assert work.labels_by_name() == before


def test_a_label_with_a_no_break_space_is_the_one_with_a_space(work: Workplace) -> None:
    work.add_images(2)
    work.add_labels("green glass")
    send(work, "0.png,green\u00a0glass\n1.png,green glass\n")
    assert work.labels_by_name() == {"0.png": ["green glass"], "1.png": ["green glass"]}


def test_an_image_that_goes_while_a_label_file_is_read_is_unknown(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = work.add_images(2)

    def read_slowly(ids: dict[str, int], file: Path) -> object:
        """Somebody else gets to write meanwhile."""
        found = read_labels(ids, file)
        work.caller.delete(f"{work.path}/images/{first}")
        return found

    monkeypatch.setattr("studio.routes.labelling.read_labels", read_slowly)
    result = send(work, "0.png,cat\n1.png,cat\n")
    assert (result["unknown"], result["meant"]) == (["0.png"], 1)
    assert work.labels_by_name() == {"1.png": ["cat"]}


@pytest.mark.parametrize("text", ["", "PK\x03\x04", "{", "[1]", "\0\0"])
def test_a_file_that_is_none_is_refused_without_a_word_about_this_machine(work: Workplace, text: str) -> None:
    answer = work.caller.ask("POST", f"{work.path}/label-file", data=text.encode(), content_type="text/csv")
    assert (answer.status_code, answer.json["code"]) == (422, "UPLOAD_BROKEN")  # type: ignore[index]
    assert "/" not in answer.json["detail"].replace("/studio", "")  # type: ignore[index]


# As programs of the cloud product ask


def test_programs_of_the_cloud_product_find_their_calls(rig: Rig) -> None:
    rig.somebody("ada")
    program = rig.by_token("ada", Scope.WRITE)
    project = program.post("/api/project/", {"name": "p"})["id"]
    raw = {"data": picture(1), "content_type": "application/octet-stream"}
    assert program.post(f"/api/image/{project}/my%20photo.jpg?preprocess=true", **raw) == {"image": "my photo.jpg"}
    assert program.post(f"/api/image/{project}/my%20photo.jpg", **raw) == {"image": "my photo.jpg"}  # the same again
    other = {**raw, "data": picture(2)}
    assert program.refused("POST", f"/api/image/{project}/my%20photo.jpg", **other) == (409, "NAME_TAKEN")
    assert program.post(f"/api/image/{project}/a.png/", **other) == {"image": "a.png"}
    assert program.get(f"/api/images/{project}/") == program.get(f"/api/images/{project}") == ["a.png", "my photo.jpg"]
    assert program.ask("GET", f"/api/image/{project}/a.png").data == picture(2)
    bad = {**raw, "data": b"nothing"}
    assert program.refused("POST", f"/api/image/{project}/b.png", **bad) == (415, "IMAGE_UNSUPPORTED")
    program.delete(f"/api/image/{project}/a.png")
    assert program.refused("GET", f"/api/image/{project}/a.png") == (404, "NOT_FOUND")
    assert program.get(f"/api/images/{project}") == ["my photo.jpg"]
