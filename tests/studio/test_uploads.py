"""Uploads: a report for every file, good ones kept whatever lies beside them, nothing believed of an archive."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import struct
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from flask import Request
from PIL import Image
from sqlalchemy import select
from studio_rig import Rig, Workplace, picture, zipped
from werkzeug.datastructures import FileStorage
from werkzeug.test import EnvironBuilder

from bundle.image_limits import DEFAULT_LIMITS
from studio.access.privileges import Privilege, ProjectRole
from studio.database.tables import images
from studio.errors import StudioSetupError
from studio.images.archives import ArchiveLimits, Entry, read_zip
from studio.images.blobs import Blobs, FolderBlobs, RemoteBlobs, open_blobs
from studio.images.intake import BATCH_IMAGES, Intake
from studio.images.orphans import remove_unneeded, sweep
from studio.images.thumbnails import look_at
from studio.routes.form_files import MOST_FORM_FILES
from studio.routes.uploads import uploaded_entries

DESCRIPTORS = Path("/proc/self/fd")
LIMITS = ArchiveLimits(max_files=100, max_unpacked_bytes=10**9, max_entry_bytes=10**6)


def outcomes(report: dict[str, object]) -> dict[str, tuple[str, str]]:
    return {file["name"]: (file["outcome"], file["code"]) for file in report["files"]}  # type: ignore[attr-defined]


def test_files_come_back_as_they_were_with_their_size_and_a_thumbnail(work: Workplace) -> None:
    data = picture(1, "JPEG", (640, 480))
    report = work.upload({"photos/a b.jpg": data, "b.png": picture(2)})
    assert (report["added"], report["duplicates"], report["refused"]) == (2, 0, 0)
    first, second = work.grid()
    assert (first["name"], first["width"], first["height"], first["bytes"]) == ("photos/a b.jpg", 640, 480, len(data))
    assert first["sha256"] == hashlib.sha256(data).hexdigest()
    assert (second["format"], second["labels"], second["default_label"]) == ("PNG", [], None)
    answer = work.caller.ask("GET", f"{work.path}/images/{first['id']}/file")
    assert (answer.data, answer.content_type) == (data, "image/jpeg")
    answer = work.caller.ask("GET", f"{work.path}/images/{first['id']}/thumbnail")
    assert answer.content_type == "image/webp"
    assert Image.open(io.BytesIO(answer.data)).size == (256, 192)
    etag = {"If-None-Match": answer.headers["ETag"]}
    assert work.caller.ask("GET", f"{work.path}/images/{first['id']}/thumbnail", headers=etag).status_code == 304


def test_a_photo_that_was_taken_upright_is_shown_and_measured_upright(work: Workplace) -> None:
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise
    Image.new("RGB", (800, 400), "red").save(stream, "JPEG", exif=exif)
    work.upload({"a.jpg": stream.getvalue()})
    (image,) = work.grid()
    assert (image["width"], image["height"]) == (400, 800)
    answer = work.caller.ask("GET", f"{work.path}/images/{image['id']}/thumbnail")
    assert Image.open(io.BytesIO(answer.data)).size == (128, 256)


def test_a_thumbnail_that_is_gone_is_made_again(work: Workplace) -> None:
    (image,) = work.add_images(1)
    digest = work.grid()[0]["sha256"]
    work.rig.parts.thumbnails.remove(digest)
    assert work.caller.ask("GET", f"{work.path}/images/{image}/thumbnail").status_code == 200
    assert work.rig.parts.thumbnails.has(digest)


def test_fifty_unreadable_files_among_good_ones_are_reported_one_by_one(work: Workplace) -> None:
    files: dict[str, bytes] = {}
    for number in range(100):
        files[f"good{number}.png"] = picture(number)
        if number % 2:
            files[f"bad{number}.jpg"] = (b"not an image", b"", picture(number, "JPEG")[:200], b"%PDF-1.7")[number % 4]
    report = work.upload_zip(zipped(files))
    assert (report["added"], report["refused"]) == (100, 50)
    assert [file["name"] for file in report["files"]] == list(files)
    told = outcomes(report)
    assert told["bad1.jpg"] == ("refused", "IMAGE_EMPTY")
    assert told["bad3.jpg"] == ("refused", "IMAGE_UNSUPPORTED")
    assert len(work.grid()) == 100


def test_the_same_bytes_are_one_image_and_the_same_name_gets_a_number(work: Workplace) -> None:
    report = work.upload({"a/1.png": picture(1), "b/1.png": picture(1), "a/2.png": picture(2)})
    assert outcomes(report) == {"a/1.png": ("added", ""), "b/1.png": ("duplicate", ""), "a/2.png": ("added", "")}
    assert report["files"][1]["image"] == report["files"][0]["image"]
    report = work.upload({"a/1.png": picture(3), "c/2.png": picture(2)})
    assert [file["stored_name"] for file in report["files"]] == ["a/1 (2).png", "a/2.png"]
    assert [image["name"] for image in work.grid()] == ["a/1.png", "a/2.png", "a/1 (2).png"]


def test_one_file_in_two_projects_is_kept_once_and_stays_while_one_needs_it(rig: Rig) -> None:
    one, two = rig.workplace(), rig.workplace()
    for work in (one, two):
        work.add_images(3)
    digests = [image["sha256"] for image in one.grid()]
    assert sorted(rig.parts.originals.digests()) == sorted(digests)
    one.caller.delete(one.path)
    assert sorted(rig.parts.originals.digests()) == sorted(digests)
    two.caller.post(f"{two.path}/images/remove", {"images": [two.grid()[0]["id"]]})
    assert sorted(rig.parts.originals.digests()) == sorted(digests[1:])
    two.caller.delete(f"{two.path}/images/{two.grid()[0]['id']}")
    two.caller.delete(two.path)
    assert list(rig.parts.originals.digests()) == list(rig.parts.thumbnails.digests()) == []


def test_labels_are_typed_at_the_upload_or_named_by_folders(work: Workplace) -> None:
    files = {"cats/1.png": picture(1), "photos/dogs/2.png": picture(2), "3.png": picture(3)}
    work.upload_zip(zipped(files), "?label=new&label=%20old%20&folder_labels=true")
    assert work.labels_by_name() == {
        "cats/1.png": ["new", "old", "cats"], "photos/dogs/2.png": ["new", "old", "dogs"], "3.png": ["new", "old"],
    }  # fmt: skip
    work.upload_zip(zipped({"again/1.png": picture(1)}), "?folder_labels=true")  # a duplicate gets its label too
    assert work.labels_by_name()["cats/1.png"] == ["new", "old", "cats", "again"]
    work.check_counts()
    work.undo()
    assert work.labels_by_name()["cats/1.png"] == ["new", "old", "cats"]


def test_one_undo_takes_back_the_labels_of_a_whole_upload(work: Workplace) -> None:
    files = {f"{number}.png": picture(number) for number in range(2 * BATCH_IMAGES + 1)}
    work.upload_zip(zipped(files), "?label=new")
    (event,) = [one for one in work.caller.get(f"{work.path}/events")["events"] if one["kind"] == "upload"]
    assert event["images"] == len(files)
    assert work.undo()["images"] == len(files)
    assert work.caller.get(f"{work.path}/counts")["unlabelled"] == len(files)
    assert work.caller.refused("POST", f"{work.path}/undo") == (409, "NOTHING_TO_UNDO")


def test_an_upload_that_is_undone_on_its_way_goes_on_as_another_event(work: Workplace) -> None:
    lines = Intake(work.rig.parts, work.project_id, work.rig.user_id(work.owner), ("new",)).take(
        Entry(f"{number}.png", picture(number)) for number in range(2 * BATCH_IMAGES)
    )
    next(lines)
    begun = work.undo()["images"]
    assert len(list(lines)) == 2 * BATCH_IMAGES - 1
    rest = 2 * BATCH_IMAGES - begun
    assert sorted(work.labels_by_name().values()) == [[]] * begun + [["new"]] * rest
    assert (work.undo()["images"], rest > 0) == (rest, True)


def test_files_at_an_address_go_in_one_request_and_gone_ones_do_not_matter() -> None:
    store = RemoteBlobs("memory://gone", ".webp")
    digests = [f"{number:064x}" for number in range(5)]
    for digest in digests:
        store.put(digest, b"x")
    store.remove(digests[3])
    store.remove_all(digests[1:])
    store.remove_all([])
    assert list(store.digests()) == digests[:1]


def test_a_folder_may_be_given_as_an_address(tmp_path: Path) -> None:
    originals, _ = open_blobs(f"file://{tmp_path}/images", tmp_path / "unused")
    assert originals.path("ab" * 32) == tmp_path / "images" / "originals" / "ab" / ("ab" * 32)
    with pytest.raises(StudioSetupError, match="file:///absolute/path"):
        open_blobs("file://images", tmp_path)


def test_labels_at_an_upload_need_the_privilege_to_label(work: Workplace) -> None:
    helper = work.rig.somebody("helper")
    work.rig.share(work.project_id, "helper", ProjectRole.VIEWER, [Privilege.UPLOAD])
    archive = {"data": zipped({"1.png": picture(1)}), "content_type": "application/zip"}
    assert helper.refused("POST", f"{work.path}/images?label=x", **archive) == (403, "PRIVILEGE_MISSING")
    assert helper.ask("POST", f"{work.path}/images", **archive).status_code == 200


def test_a_client_learns_what_it_need_not_send_again(work: Workplace) -> None:
    work.add_images(2)
    have = [image["sha256"] for image in work.grid()]
    asked = [have[1], "0" * 64, have[0]]
    assert work.caller.post(f"{work.path}/images/known", {"sha256": asked}) == {"sha256": [have[1], have[0]]}
    other = work.rig.workplace()
    assert other.caller.post(f"{other.path}/images/known", {"sha256": asked}) == {"sha256": []}


def test_lines_come_one_a_file_and_say_the_same(work: Workplace) -> None:
    archive = zipped({"1.png": picture(1), "x.txt": b"x", "2.png": picture(2)})
    answer = work.caller.ask(
        "POST", f"{work.path}/images", data=archive, content_type="application/zip",
        headers={"Accept": "application/x-ndjson"},
    )  # fmt: skip
    lines = [json.loads(line) for line in answer.data.splitlines()]
    assert [(line["name"], line["outcome"]) for line in lines] == [
        ("1.png", "added"), ("x.txt", "refused"), ("2.png", "added"),
    ]  # fmt: skip


# Archives that mean no good


def test_names_that_lead_elsewhere_are_refused_and_written_nowhere(work: Workplace, tmp_path: Path) -> None:
    names = ["../up.png", "a/../../b.png", "/etc/x.png", "C:\\x.png", "a//b.png", "./c.png", "new\nline.png", "ok.png"]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(zipfile.ZipInfo(name), picture(number))
    report = work.upload_zip(stream.getvalue())
    codes = [file["code"] for file in report["files"]]
    assert codes == ["NAME_UNSAFE"] * 7 + [""]
    assert not list(tmp_path.rglob("up.png"))
    assert not list(tmp_path.rglob("*.jpg"))


def test_links_and_leftovers_of_systems_are_no_images(work: Workplace) -> None:
    link = zipfile.ZipInfo("link.png")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        for name in ("__MACOSX/._1.png", ".DS_Store", "a/Thumbs.db", "folder/"):
            archive.writestr(name, b"")
        archive.writestr("1.png", picture(1))
    assert outcomes(work.upload_zip(stream.getvalue())) == {
        "link.png": ("refused", "ENTRY_NO_FILE"), "1.png": ("added", ""),
    }  # fmt: skip


def test_an_archive_that_is_none_is_refused_whole(work: Workplace) -> None:
    good = zipped({f"{number}.png": picture(number) for number in range(5)})
    for data in (b"", b"PK\x03\x04", good[: len(good) // 2], b"x" * 1000, good[:-30] + b"\0" * 30):
        refused = work.caller.refused("POST", f"{work.path}/images", data=data, content_type="application/zip")
        assert refused == (422, "UPLOAD_BROKEN"), data[:10]
    assert work.grid() == []


def test_a_damaged_part_costs_only_itself(work: Workplace) -> None:
    files = {f"{number}.png": picture(number) for number in range(5)}
    data = bytearray(zipped(files))
    at = data.index(files["2.png"])
    data[at + 40] ^= 0xFF
    report = work.upload_zip(bytes(data))
    assert outcomes(report)["2.png"] == ("refused", "ENTRY_DAMAGED")
    assert report["added"] == 4


def bomb(unpacked_bytes: int) -> bytes:
    return zipped({"bomb.png": b"\0" * unpacked_bytes}, zipfile.ZIP_DEFLATED)


def test_a_bomb_is_refused_before_a_byte_of_it_is_unpacked(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bomb(300 * 1024 * 1024)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("unpacked")

    monkeypatch.setattr("zipfile.ZipFile.open", never)
    assert len(data) < 400_000
    refused = work.caller.refused("POST", f"{work.path}/images", data=data, content_type="application/zip")
    assert refused == (422, "UPLOAD_BROKEN")


def test_an_entry_that_lies_about_its_size_is_read_no_further_than_it_says() -> None:
    data = bytearray(bomb(900_000))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(signature)
        struct.pack_into("<L", data, at + offset, 1000)
    (entry,) = read_zip(io.BytesIO(bytes(data)), LIMITS)
    assert entry.data is None or len(entry.data) <= 1000
    assert entry.code in ("", "ENTRY_DAMAGED")


def test_files_that_overlap_are_a_bomb() -> None:
    data = zipped({f"{number}.png": b"x" * 5000 for number in range(3)})
    out = bytearray(data)
    first = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", first + 4)
    third = data.index(b"PK\x01\x02", second + 4)
    for at in (first, second, third):
        struct.pack_into("<L", out, at + 20, len(data))  # each claims all of the archive
    with pytest.raises(Exception, match=r"overlap|damaged"):
        list(read_zip(io.BytesIO(bytes(out)), LIMITS))


def test_too_many_files_are_refused_by_what_the_directory_says_and_by_its_size() -> None:
    many = zipped({f"{number}.png": b"" for number in range(101)})
    with pytest.raises(Exception, match="at most 100 files"):
        read_zip(io.BytesIO(many), LIMITS)
    lying = bytearray(many)
    struct.pack_into("<HH", lying, len(many) - 14, 1, 1)
    with pytest.raises(Exception, match=r"at most 100 files|damaged"):
        list(read_zip(io.BytesIO(bytes(lying)), LIMITS))


def test_large_encrypted_and_repeated_entries_are_left_out() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("large.png", b"x" * (10**6 + 1))
        archive.writestr("twice.png", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("twice.png", b"2")
        archive.writestr("secret.png", b"3")
    data = bytearray(stream.getvalue())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.rindex(signature) + offset] |= 1
    told = [(entry.name, entry.code, entry.data) for entry in read_zip(io.BytesIO(bytes(data)), LIMITS)]
    assert told == [
        ("large.png", "IMAGE_TOO_MANY_BYTES", None), ("twice.png", "", b"1"), ("twice.png", "NAME_TWICE", None),
        ("secret.png", "ENTRY_ENCRYPTED", None),
    ]  # fmt: skip


def test_an_archive_among_the_files_of_a_form_is_opened_but_none_within_it(work: Workplace) -> None:
    inner = zipped({"3.png": picture(3)})
    report = work.upload({"1.png": picture(1), "more.zip": zipped({"2.png": picture(2), "inner.zip": inner})})
    assert outcomes(report) == {
        "1.png": ("added", ""), "2.png": ("added", ""), "inner.zip": ("refused", "IMAGE_UNSUPPORTED"),
    }  # fmt: skip


def test_bodies_that_are_no_upload_are_told_what_is_expected(work: Workplace) -> None:
    path = f"{work.path}/images"
    assert work.caller.refused("POST", path, data=b"x", content_type="image/png") == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert work.caller.refused("POST", path, data={"field": "x"}, content_type="multipart/form-data") == (
        400,
        "FORM_FILES",
    )
    broken = {"data": b"--x\r\nno header", "content_type": "multipart/form-data; boundary=x"}
    assert work.caller.refused("POST", path, **broken)[0] == 400
    assert work.caller.refused("POST", f"{path}?label=", data={"file": (io.BytesIO(b"x"), "x")}) == (
        400, "VALUE_INVALID",
    )  # fmt: skip


def test_nothing_is_left_of_uploads_on_their_way(work: Workplace) -> None:
    work.upload_zip(zipped({"1.png": picture(1)}))
    work.upload({"2.png": picture(2)})
    work.caller.refused("POST", f"{work.path}/images", data=b"PK\x03\x04", content_type="application/zip")
    assert list(work.rig.parts.settings.incoming_folder.iterdir()) == []


def test_many_who_upload_the_same_at_once_make_each_image_once(work: Workplace) -> None:
    archive = zipped({f"{number}.png": picture(number) for number in range(40)})
    callers = [work.rig.signed_in(work.owner) for _ in range(4)]

    def send(number: int) -> int:
        answer = callers[number].ask("POST", f"{work.path}/images", data=archive, content_type="application/zip")
        assert answer.status_code == 200, answer.data
        return int(answer.json["added"])  # type: ignore[index]

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(send, range(4))) == 40
    assert len(work.grid()) == 40


# Files


@pytest.fixture(params=["folder", "fsspec"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return FolderBlobs(tmp_path / "x") if request.param == "folder" else RemoteBlobs(f"memory://{tmp_path}")


def test_a_store_keeps_lists_and_forgets(store: Blobs) -> None:
    one, two = "a" * 64, "b" * 64
    assert not store.has(one)
    store.put(one, b"1")
    store.put(two, b"2")
    store.put(one, b"1")
    assert store.sync([one, two]) == store.sync([]) == set()
    assert (store.read(one), sorted(store.digests())) == (b"1", [one, two])
    store.remove(one)
    store.remove(one)
    assert (store.has(one), list(store.digests())) == (False, [two])
    with pytest.raises(FileNotFoundError):
        store.read(one)


def test_a_file_that_a_power_cut_left_short_is_written_anew(tmp_path: Path) -> None:
    store = FolderBlobs(tmp_path)
    store.path("a" * 64).write_bytes(b"")  # a name that was synced, and content that was not
    store.put("a" * 64, b"whole")
    assert store.read("a" * 64) == b"whole"
    assert store.sync(["a" * 64, "b" * 64]) == {"b" * 64}


def test_what_a_crash_left_is_swept_and_nothing_else(work: Workplace) -> None:
    work.add_images(2)
    parts = work.rig.parts
    parts.originals.put("c" * 64, b"never had a row")
    stores = (parts.originals, parts.thumbnails)
    assert sweep(parts.database, stores) == 1
    assert sweep(parts.database, stores) == 0
    assert len(list(parts.originals.digests())) == 2


def test_a_file_that_went_while_its_image_came_again_is_there_in_the_end(work: Workplace) -> None:
    """Uploads and removals of the same few images, many at once: no row ever lacks its file."""
    archive = zipped({f"{number}.png": picture(number) for number in range(6)})
    other = work.rig.workplace()
    callers = [work.rig.signed_in(work.owner), work.rig.signed_in(other.owner)]
    parts = work.rig.parts

    def churn(number: int) -> None:
        path, caller = (work.path, other.path)[number], callers[number]
        for _ in range(6):
            answer = caller.ask("POST", f"{path}/images", data=archive, content_type="application/zip")
            assert answer.status_code == 200, answer.data
            assert caller.ask("POST", f"{path}/images/remove", json={"filter": {}}).status_code == 200

    def sweeps() -> None:
        for _ in range(10):
            sweep(parts.database, (parts.originals, parts.thumbnails))

    with ThreadPoolExecutor(3) as pool:
        done = [pool.submit(churn, 0), pool.submit(churn, 1), pool.submit(sweeps)]
        for one in done:
            one.result()
    work.upload_zip(archive)
    with parts.database.reading() as connection:
        digests = list(connection.scalars(select(images.c.sha256)))
    assert len(digests) == 6
    assert all(parts.originals.has(digest) for digest in digests)
    assert remove_unneeded(parts.database, (parts.originals,), digests) == 0


def test_small_pictures_stay_their_size() -> None:
    look = look_at(picture(1, "PNG", (20, 10)), DEFAULT_LIMITS)
    assert Image.open(io.BytesIO(look.thumbnail)).size == (20, 10)
    look = look_at(picture(1, "JPEG", (4000, 2)), DEFAULT_LIMITS)
    assert (look.width, look.height) == (4000, 2)
    assert Image.open(io.BytesIO(look.thumbnail)).size == (256, 1)


def test_a_form_of_many_large_files_takes_one_descriptor_and_little_memory(rig: Rig) -> None:
    sizes = [900_000, 1_200_000] * 16
    files = [FileStorage(io.BytesIO(number.to_bytes() * size), f"{number}.png") for number, size in enumerate(sizes)]
    builder = EnvironBuilder("/", method="POST", data={"file": files})
    request, before = Request(builder.get_environ()), len(list(DESCRIPTORS.iterdir()))
    with ExitStack() as open_files:
        tracemalloc.start()
        entries = uploaded_entries(request, rig.parts.settings, open_files)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(list(DESCRIPTORS.iterdir())) <= before + 2
        assert peak_bytes < 8_000_000
        for number, entry in enumerate(entries):
            assert (entry.name, entry.data) == (f"{number}.png", number.to_bytes() * sizes[number])
    request.environ["wsgi.input"].close()
    builder.close()
    assert len(list(DESCRIPTORS.iterdir())) <= before


def test_a_form_of_more_files_than_it_may_have_says_what_to_do(work: Workplace) -> None:
    form = {"file": [(io.BytesIO(b"x"), f"{number}.png") for number in range(MOST_FORM_FILES + 1)]}
    answer = work.caller.ask("POST", f"{work.path}/images", data=form)
    assert (answer.status_code, answer.json["code"]) == (413, "TOO_MANY")  # type: ignore[index]
    assert "zip" in answer.json["detail"]  # type: ignore[index]


def test_a_file_of_a_form_may_hold_what_could_begin_a_boundary_anywhere(work: Workplace) -> None:
    """The form's parser keeps such bytes back until it has seen more of them."""
    image = picture(1, "BMP")
    files = {f"{shift}.bmp": image + b"\r\n" * 60_000 + b"-" * shift for shift in range(3)}
    report = work.upload(files)
    assert [file["outcome"] for file in report["files"]] == ["added"] * 3
