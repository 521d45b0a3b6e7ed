"""Versions of a project's images and labels: which models learnt which, and what changed from one to another."""

from __future__ import annotations

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
from studio.jobs.dataset import ChangedImage, difference, find_dataset, images_as_asked, read_dataset
from studio.routes.groups import Group
from studio.routes.problems import PAGE
from studio.routes.routes import Routes
from studio.routes.wire import In, Moment, Out, PageQuery, PublicId, query, read_query

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


class DifferenceQuery(In):
    to: PublicId | SkipJsonSchema[None] = Field(
        default=None, description="Another version; without it, the project as it is now."
    )
    limit: int = Field(default=200, ge=1, le=5000, description="Images of each kind, at most.")


class Difference(Out):
    """From this version to the other; each list is cut at the limit, the counts are not."""

    added: list[ChangedImage]
    removed: list[ChangedImage]
    relabelled: list[ChangedImage] = Field(description="other labels, or another validation flag")
    added_count: int
    removed_count: int
    relabelled_count: int


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


@datasets.get("/<id:dataset>/difference")
@requires(Privilege.VIEW)
@described(
    Group.JOBS, "What changed since a version", parameters=query(DifferenceQuery),
    example={"added": [{"image": "m9Ls2VbXuRd", "before": None, "after": ["glass"]}], "removed": [], "relabelled": [],
             "added_count": 1, "removed_count": 0, "relabelled_count": 0},
    problems=("PARAMETER_INVALID", "DATASET_NOT_FOUND"),
)  # fmt: skip
def changes(project: str, dataset: str) -> Difference:
    """Images added, removed and relabelled, with their labels before and after."""
    asked, here = read_query(DifferenceQuery), this_project()
    with context().database.reading() as connection:
        version = find_dataset(connection, here.id, dataset)
        before = read_dataset(connection, version.id)
        if asked.to is not None:
            after = read_dataset(connection, find_dataset(connection, here.id, asked.to).id)
        else:
            after = images_as_asked(connection, here.id, version.id)
    found = difference(before, after)
    return Difference(
        added=list(found.added[: asked.limit]), removed=list(found.removed[: asked.limit]),
        relabelled=list(found.relabelled[: asked.limit]), added_count=len(found.added),
        removed_count=len(found.removed), relabelled_count=len(found.relabelled),
    )  # fmt: skip


this_project = project  # views have an argument of the name, as their addresses do
