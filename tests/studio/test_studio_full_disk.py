"""A full disk is told as such, wherever it shows: at the file, in the database, before and after an answer began."""

from __future__ import annotations

import errno
import io
import json
from typing import Any

import pytest
from sqlalchemy import event, text
from studio_rig import Workplace, picture

from studio.images.blobs import FolderBlobs


def no_space(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
def test_an_image_that_finds_no_room_is_a_problem_of_its_own(
    work: Workplace, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    monkeypatch.setattr(FolderBlobs, "put", no_space)
    form = {"file": [(io.BytesIO(picture(1)), "1.png")]}
    answer = work.caller.ask("POST", f"{work.path}/images", data=form, headers={"Accept": accept})
    last = json.loads(answer.data.splitlines()[-1])
    assert (last["status"], last["code"]) == (507, "STORAGE_FULL")
    assert work.grid() == []


def test_a_database_that_finds_no_room_is_the_same(work: Workplace) -> None:
    database = work.rig.parts.database
    if not database.is_sqlite:
        pytest.skip("PostgreSQL has no limit of pages that one could set")
    with database.engine.connect() as connection:
        pages = connection.scalar(text("PRAGMA page_count"))
    database.engine.dispose()
    event.listen(database.engine, "connect", lambda raw, _: raw.execute(f"PRAGMA max_page_count={pages}").close())
    for number in range(200):  # what is free within the pages is filled first
        answer = work.caller.ask("POST", f"{work.path}/labels", json={"name": "x" * 90 + str(number)})
        if answer.status_code != 201:
            break
    assert (answer.status_code, answer.json["code"]) == (507, "STORAGE_FULL")  # type: ignore[index]
