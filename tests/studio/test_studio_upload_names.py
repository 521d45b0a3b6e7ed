"""Names as real systems write them: zips of Windows and of a Mac, spaces of any width, and many of one name."""

from __future__ import annotations

import io
import zipfile

from sqlalchemy import event
from studio_rig import Workplace, picture, zipped

WINDOWS, UNIX = 0, 3


def archive_of(raw_name: bytes, system: int) -> bytes:
    """A zip with one picture, whose name is written as these bytes, without the mark of UTF-8."""
    stream = io.BytesIO()
    place_holder = "x" * len(raw_name)
    with zipfile.ZipFile(stream, "w") as archive:
        info = zipfile.ZipInfo(place_holder)
        info.create_system = system
        archive.writestr(info, picture(1))
    return stream.getvalue().replace(place_holder.encode(), raw_name)


def names_of(work: Workplace) -> list[str]:
    return [image["name"] for image in work.grid()]


def test_an_archive_of_windows_has_backslashes_and_names_of_its_code_page(work: Workplace) -> None:
    work.upload_zip(archive_of("M\u00fcll\\glas.png".encode("cp437"), WINDOWS), "?folder_labels=true")
    assert work.labels_by_name() == {"M\u00fcll/glas.png": ["M\u00fcll"]}


def test_backslashes_of_windows_lead_out_of_no_folder(work: Workplace) -> None:
    (file,) = work.upload_zip(archive_of(b"..\\..\\glas.png", WINDOWS))["files"]
    assert (file["outcome"], file["code"]) == ("refused", "NAME_UNSAFE")


def test_an_archive_of_a_mac_is_utf_8_without_saying_so(work: Workplace) -> None:
    work.upload_zip(archive_of("Gr\u00fc\u00dfe \u732b.png".encode(), UNIX))
    assert names_of(work) == ["Gr\u00fc\u00dfe \u732b.png"]


def test_spaces_of_any_width_may_stand_in_a_name_and_marks_that_turn_text_around_may_not(work: Workplace) -> None:
    good = ["Screenshot 10.00.00\u202fAM.png", "a\u00a0b.png", "family \U0001f468\u200d\U0001f469.png"]
    work.upload({name: picture(number) for number, name in enumerate(good)})
    assert names_of(work) == good
    report = work.upload({"a\u202egnp.exe": picture(9)})
    assert [file["code"] for file in report["files"]] == ["NAME_UNSAFE"]


def test_the_thousandth_image_of_one_name_costs_a_few_queries(work: Workplace) -> None:
    work.upload_zip(zipped({"frame.png": picture(0)}))
    for start in range(1, 60, 20):
        form = [(io.BytesIO(picture(number)), "frame.png") for number in range(start, start + 20)]
        work.caller.post(f"{work.path}/images", data={"file": form})
    assert len(set(names_of(work))) == 61
    statements: list[str] = []
    engine = work.rig.parts.database.engine
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    work.upload({"frame.png": picture(99)})
    assert names_of(work)[-1] == "frame (62).png"
    assert len(statements) < 40


def test_a_name_as_long_as_one_may_be_gets_its_number_too(work: Workplace) -> None:
    long = ["d" * 490 + "/" + "n" * 5 + ".png", "x." + "s" * 498]
    for number in range(3):
        report = work.upload({name: picture(10 * number + place) for place, name in enumerate(long)})
        assert [file["outcome"] for file in report["files"]] == ["added"] * 2
    assert all(len(name) <= 500 for name in names_of(work))
