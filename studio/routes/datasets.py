"""Versions of a project's images and labels: which models learnt which, and what changed from one to another."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from sqlalchemy import select

from server.openapi.describe import described
from studio.access.guard import project, requires
from studio.access.privileges import Privilege
from studio.context import context
from studio.database.paging import cut, decode_cursor, encode_cursor
from studio.database.tables import datasets as versions_table
from studio.database.tables import jobs
from studio.jobs.dataset import CHANGES, Change, ChangedImage, difference, find_dataset, images_as_asked, read_dataset
from studio.routes.groups import Group
from studio.routes.problems import PAGE
from studio.routes.routes import Routes
from studio.routes.wire import Moment, Out, PageQuery, PublicId, query, read_query

datasets = Routes("datasets", __name__, url_prefix="/studio/v1/projects/<project>/datasets")

VERSION_EXAMPLE: Any = {
    "id": "d8Kw3NvYpQa", "created_at": "2026-03-01T12:00:00Z", "images": 2527,
    "trainings": [{"id": "t2Vq8LmRzKx", "name": "First try"}],
}  # fmt: skip


class UsedBy(Out):
    id: PublicId
    name: str


class Version(Out):
    id: PublicId
    created_at: Moment
    images: int
    trainings: list[UsedBy] = Field(description="that learnt it, the newest first")


class VersionPage(Out):
    versions: list[Version] = Field(description="the newest first")
    next: str | None = Field(description="send it as `after`; null at the end")


class VersionImage(Out):
    image: PublicId
    labels: list[str] = Field(description="the default label first")
    validation: bool = Field(description="whether it was flagged for validation")


class VersionImages(Out):
    images: list[VersionImage]
    next: str | None = Field(description="send it as `after`; null at the end")


class DifferenceQuery(PageQuery):
    to: PublicId | SkipJsonSchema[None] = Field(
        default=None, description="Another version; without it, the project as it is now."
    )
    change: Change | SkipJsonSchema[None] = Field(default=None, description="Changes of this kind alone.")


class Difference(Out):
    """From this version to the other."""

    added: int = Field(description="images in all")
    removed: int
    relabelled: int = Field(description="other labels, or another validation flag")
    images: list[ChangedImage] = Field(description="added, then removed, then relabelled")
    next: str | None = Field(description="send it as `after`; null at the end")


@datasets.get("")
@requires(Privilege.VIEW)
@described(
    Group.JOBS, "Versions of the data set", parameters=query(PageQuery),
    example={"versions": [VERSION_EXAMPLE], "next": None}, problems=PAGE,
)  # fmt: skip
def all_versions(project: str) -> VersionPage:
    """One is kept for every training, and one for all that learnt the same."""
    asked, here = read_query(PageQuery), this_project()
    own = versions_table.c
    statement = (
        select(own.id, own.public_id, own.created_at, own.image_count)
        .where(own.project_id == here.id)
        .order_by(own.id.desc())
        .limit(asked.limit + 1)
    )
    if asked.after:
        statement = statement.where(own.id < decode_cursor(asked.after, int)[0])
    with context().database.reading() as connection:
        shown, last = cut(list(connection.execute(statement)), asked.limit)
        learnt = select(jobs.c.dataset_id, jobs.c.public_id, jobs.c.name).order_by(jobs.c.id.desc())
        used: dict[int, list[UsedBy]] = {}
        for row in connection.execute(learnt.where(jobs.c.dataset_id.in_([each.id for each in shown]))):
            used.setdefault(row.dataset_id, []).append(UsedBy(id=row.public_id, name=row.name))
    found = [
        Version(
            id=row.public_id, created_at=row.created_at, images=row.image_count, trainings=used.get(row.id, [])
        )
        for row in shown
    ]  # fmt: skip
    return VersionPage(versions=found, next=None if last is None else encode_cursor(last.id))


@datasets.get("/<id:dataset>/images")
@requires(Privilege.VIEW)
@described(
    Group.JOBS, "Images of a version", parameters=query(PageQuery),
    example={"images": [{"image": "m9Ls2VbXuRd", "labels": ["glass"], "validation": False}], "next": None},
    problems=(*PAGE, "DATASET_NOT_FOUND"),
)  # fmt: skip
def images_of(project: str, dataset: str) -> VersionImages:
    """As they were, in the order in which they came; some may have been removed from the project since."""
    asked, here = read_query(PageQuery), this_project()
    start = decode_cursor(asked.after, int)[0] if asked.after else 0
    with context().database.reading() as connection:
        version = read_dataset(connection, find_dataset(connection, here.id, dataset))
    end = max(0, start) + asked.limit
    shown = [
        VersionImage(image=each.image, labels=list(each.labels), validation=each.validation)
        for each in version[max(0, start) : end]
    ]
    return VersionImages(images=shown, next=encode_cursor(end) if end < len(version) else None)


@datasets.get("/<id:dataset>/difference")
@requires(Privilege.VIEW)
@described(
    Group.JOBS, "What changed since a version", parameters=query(DifferenceQuery),
    example={"added": 1, "removed": 0, "relabelled": 0, "next": None,
             "images": [{"image": "m9Ls2VbXuRd", "change": "added", "before": None, "after": ["glass"]}]},
    problems=(*PAGE, "DATASET_NOT_FOUND"),
)  # fmt: skip
def changes(project: str, dataset: str) -> Difference:
    """Images added, removed and relabelled, with their labels before and after."""
    asked, here = read_query(DifferenceQuery), this_project()
    with context().database.reading() as connection:
        version = find_dataset(connection, here.id, dataset)
        before = read_dataset(connection, version)
        if asked.to is not None:
            after = read_dataset(connection, find_dataset(connection, here.id, asked.to))
        else:
            after = images_as_asked(connection, here.id, version)
    found = difference(before, after)
    counts = Counter(each.change for each in found)
    wanted = [each for each in found if asked.change in (None, each.change)]
    if asked.after:
        last_seen = decode_cursor(asked.after, int, str)
        wanted = [each for each in wanted if _place(each) > last_seen]
    shown, last = cut(wanted[: asked.limit + 1], asked.limit)
    return Difference(
        added=counts["added"], removed=counts["removed"], relabelled=counts["relabelled"], images=shown,
        next=None if last is None else encode_cursor(*_place(last)),
    )  # fmt: skip


def _place(changed: ChangedImage) -> tuple[int, str]:
    """In the order of `difference`: it stays where others are changed meanwhile."""
    return CHANGES.index(changed.change), changed.image


this_project = project  # views have an argument of the name, as their addresses do
