"""Measure the studio's back end: `python -m benchmarks.studio [--images 100000] [--write]`.

1. A project of 100,000 synthetic images on SQLite and on PostgreSQL: the server time of a grid page, filters, counts,
   and of labelling 10,000 selected images. Whole requests through the application, without a network.
2. The upload of an archive of 2,500 photos to a real `onsight studio` over HTTP, beside unpacking, hashing and making
   thumbnails of the same archive in one process, in turn, with one thread and with as many as the studio uses.

Needs tests/ (for the PostgreSQL server and the running studio). --write puts the tables into RESULTS.md.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import insert, text

from benchmarks.sections import RESULTS, replace_section
from benchmarks.shared_data import DATASETS, require_data
from bundle.cores import usable_cores
from bundle.image_limits import DEFAULT_LIMITS
from bundle.in_order import in_order
from studio.context import StudioContext
from studio.database.engine import Database
from studio.database.metadata import new_public_id
from studio.database.migrate import migrate
from studio.database.tables import image_labels, images
from studio.images.blobs import open_blobs
from studio.images.thumbnails import look_at
from studio.labels.events import Event, Kind
from studio.settings import StudioSettings

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS / "studio")]

LABELS = 20
SELECTED = 10_000
PHOTOS = 2_500
REPEATS = 7
UPLOAD_ROUNDS = 3
SEED = 0
GOALS_MS = {
    "first page": 150, "page in the middle": 150, "filter by label": 200, "filter by two labels": 200,
    "unlabelled": 200, "by name, last page first": 150, "counts": 100, "label 10,000 selected": 2000,
    "undo that": 2000,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--write", action="store_true", help="put the tables into RESULTS.md")
    chosen = parser.parse_args()
    table = many_images(chosen.images)
    upload = upload_photos()
    section = f"""## The studio: `python -m benchmarks.studio`

{chosen.images:,} synthetic images with {LABELS} labels (0 to 3 an image) in one project; the median of {REPEATS}
whole requests through the application, in milliseconds, without a network. Load average at the start:
{os.getloadavg()[0]:.0f} on 2 cores.

{table}

{upload}
"""
    print(section)
    if chosen.write:
        RESULTS.write_text(replace_section(RESULTS.read_text(), "studio", section))


# --- 100,000 images ---


def many_images(count: int) -> str:
    from postgres_server import open_database, running_postgres

    columns: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running_postgres())
        urls = {"SQLite": f"sqlite:///{folder / 'studio.sqlite3'}", "PostgreSQL": server.url(server.new_database())}
        for name, url in urls.items():
            database = open_database(url)
            migrate(database)
            columns[name] = measure_many(database, folder / name, count)
            database.close()
    lines = ["| | goal | SQLite | PostgreSQL |", "|---|---:|---:|---:|"]
    for what, goal in GOALS_MS.items():
        lines.append(f"| {what} | {goal} | " + " | ".join(f"{columns[name][what]:.0f}" for name in urls) + " |")
    return "\n".join(lines)


def measure_many(database: Database, folder: Path, count: int) -> dict[str, float]:
    """What -> milliseconds."""
    from studio_rig import Clock, Rig

    settings = StudioSettings(home=folder)
    settings.incoming_folder.mkdir(parents=True)
    rig = Rig(StudioContext(settings, database, *open_blobs(None, settings.folder), now=Clock()), Clock())
    work = rig.workplace()
    labels = work.add_labels(*(f"label {number:02}" for number in range(LABELS)))
    ids = fill(database, work.project_id, rig.user_id(work.owner), count)
    random = np.random.default_rng(SEED)
    selected = [ids[k] for k in random.choice(count, SELECTED, replace=False)]
    get, grid = work.caller.get, f"{work.path}/images?limit=100"
    middle = get(f"{grid}&name=")["next"]
    for _ in range(5):
        middle = get(f"{work.path}/images?limit=1000&after={middle}")["next"]
    found = {
        "first page": median_ms(lambda: get(grid)),
        "page in the middle": median_ms(lambda: get(f"{grid}&after={middle}")),
        "filter by label": median_ms(lambda: get(f"{grid}&label={labels[3]}")),
        "filter by two labels": median_ms(lambda: get(f"{grid}&label={labels[3]}&label={labels[4]}")),
        "unlabelled": median_ms(lambda: get(f"{grid}&kind=unlabelled")),
        "by name, last page first": median_ms(lambda: get(f"{grid}&order=name_down")),
        "counts": median_ms(lambda: get(f"{work.path}/counts")),
    }
    labelling, undoing = [], []
    for number in range(REPEATS):
        labelling.append(once_ms(lambda number=number: work.label(selected, labels[number])))
        undoing.append(once_ms(work.undo))
    return found | {"label 10,000 selected": statistics.median(labelling), "undo that": statistics.median(undoing)}


def fill(database: Database, project_id: int, user_id: int, count: int) -> list[str]:
    """Rows of images and their labels, as uploads and labelling would have left them; returns public ids."""
    random = np.random.default_rng(SEED)
    kinds = random.choice(4, count, p=(0.3, 0.5, 0.15, 0.05))
    public_ids = [new_public_id() for _ in range(count)]
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with database.writing() as connection:
        rows = [
            {"public_id": public_ids[n], "project_id": project_id, "name": f"folder {n % 50:02}/photo {n:06}.jpg",
             "sha256": f"{n:064x}", "bytes": 100_000, "width": 640, "height": 480, "format": "JPEG",
             "uploaded_by": user_id, "created_at": now, "validation": bool(n % 5 == 0), "label_count": int(kinds[n])}
            for n in range(count)
        ]  # fmt: skip
        connection.execute(insert(images), rows)
        ids = list(connection.scalars(images.select().with_only_columns(images.c.id).order_by(images.c.id)))
        event = Event(connection, project_id, user_id, Kind.LABEL, now, details={"filled": "x"})
        label_ids = [row[0] for row in connection.execute(text("SELECT id FROM labels ORDER BY id"))]
        pairs = [
            {"label_id": label_ids[k], "image_id": ids[n], "event_id": event.id}
            for n in range(count)
            for k in random.choice(LABELS, int(kinds[n]), replace=False)
        ]
        connection.execute(insert(image_labels), pairs)
        event.finish()
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE" if database.is_sqlite else "VACUUM ANALYZE"))  # as autovacuum does by itself
    return public_ids


def median_ms(call: Callable[[], object]) -> float:
    call()
    return statistics.median(once_ms(call) for _ in range(REPEATS))


def once_ms(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


# --- 2,500 photos ---


def upload_photos() -> str:
    require_data()
    archive, count = archive_of_photos()
    rows: dict[str, list[float]] = {"one thread, no HTTP": [], "threads, no HTTP": [], "upload": []}
    for _ in range(UPLOAD_ROUNDS):
        rows["one thread, no HTTP"].append(count / seconds(lambda: plain(archive, 1)))
        rows["threads, no HTTP"].append(count / seconds(lambda: plain(archive, usable_cores())))
        with fresh_studio() as send:
            rows["upload"].append(count / seconds(lambda send=send: send(archive)))
    medians = {name: statistics.median(speeds) for name, speeds in rows.items()}
    share = [medians["upload"] / medians[name] for name in ("one thread, no HTTP", "threads, no HTTP")]
    lines = [
        f"| {name} | {medians[name]:.0f} | {min(speeds):.0f} to {max(speeds):.0f} |" for name, speeds in rows.items()
    ]
    megabytes = f"{len(archive) / 1e6:.0f} MB"
    return f"""An archive of {count:,} photos ({megabytes}), sent over HTTP to `onsight studio` (every file and row is
synced to disk), beside unpacking, hashing and making thumbnails of it in one process; {UPLOAD_ROUNDS} rounds in turn,
photos a second.

| | median | range |
|---|---:|---:|
{chr(10).join(lines)}

The upload reaches **{share[0]:.0%}** of one thread's speed and **{share[1]:.0%}** of {usable_cores()} threads' (goal
60 %).
"""


def archive_of_photos() -> tuple[bytes, int]:
    stream = io.BytesIO()
    with zipfile.ZipFile(DATASETS / "trashnet_256.zip") as source, zipfile.ZipFile(stream, "w") as out:
        photos = [info for info in source.infolist() if info.filename.endswith(".jpg")][:PHOTOS]
        for info in photos:
            out.writestr(info.filename, source.read(info))
    return stream.getvalue(), len(photos)


def plain(archive: bytes, threads: int) -> None:
    """What has to be done whoever does it: unpack, hash, thumbnail."""

    def photos() -> Iterator[bytes]:
        with zipfile.ZipFile(io.BytesIO(archive)) as source:
            for info in source.infolist():
                yield source.read(info)

    def work(data: bytes) -> tuple[str, int]:
        return hashlib.sha256(data).hexdigest(), len(look_at(data, DEFAULT_LIMITS).thumbnail)

    done = map(work, photos()) if threads == 1 else in_order(work, photos(), threads, "plain")
    assert sum(1 for _ in done) > 0


@contextmanager
def fresh_studio() -> Iterator[Callable[[bytes], None]]:
    """A new install each time; give it the archive."""
    from running_studio import running_studio

    with tempfile.TemporaryDirectory() as folder, running_studio(Path(folder) / "home") as studio:
        project = studio.call("POST", "/studio/v1/projects", {"name": "photos"})["id"]

        def send(archive: bytes) -> None:
            headers = {"Content-Type": "application/zip", "X-Auth-token": studio.token}
            path = f"/studio/v1/projects/{project}/images?folder_labels=true"
            report = studio.ask("POST", path, archive, headers).json
            assert report["added"] + report["duplicates"] == PHOTOS, report["refused"]

        yield send


def seconds(call: Callable[[], object]) -> float:
    return once_ms(call) / 1e3


if __name__ == "__main__":
    main()
