"""Which images look alike: search, near-duplicates, candidates for a label, labels that their neighbours doubt."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sqlalchemy import Connection, insert, select

from server.openapi.describe import described
from studio.access.guard import principal, project, requires
from studio.access.privileges import Privilege
from studio.context import context
from studio.database.tables import image_labels, images, jobs, labels, rejections
from studio.errors import NotFound
from studio.images.filters import ids_of_images
from studio.jobs.queue import HELD, Kind, State, add_features
from studio.labels.vocabulary import find_label, list_labels
from studio.projects.store import lock_project
from studio.routes.groups import Group
from studio.routes.problems import BODY
from studio.routes.routes import Routes
from studio.routes.selections import Selection
from studio.routes.wire import In, Out, PublicId, body, query, read_model, read_query
from studio.similarity.doubts import doubts
from studio.similarity.labelled import default_places, rows_with
from studio.similarity.neighbours import NEAR_DUPLICATE, Neighbours
from studio.similarity.search import best, candidates_for, scores_of
from studio.similarity.store import ProjectFeatures

similarity = Routes("similarity", __name__, url_prefix="/studio/v1/projects/<project>")

_WAIT_S = 2.0
ALIKE_EXAMPLE: Any = {"image": "m9Ls2VbXuRd", "name": "glass/1.jpg", "labels": ["q5Zc7NfGhJt"], "score": 0.93}
STATE_EXAMPLE: Any = {"images": 2527, "known": 2000, "state": "reading", "done": 500, "total": 1027, "eta_s": 8.5}


class Reading(Out):
    """How many images can be compared, and what is being done about the others."""

    images: int
    known: int = Field(description="of which it is known what they look like")
    state: Literal["idle", "waiting", "reading"]
    done: int | None = Field(description="of the reading that runs")
    total: int | None
    eta_s: float | None = Field(description="seconds until it is done")


class Alike(Out):
    image: PublicId
    name: str
    labels: list[PublicId]
    score: float = Field(description="of the search: the mean cosine, at most 1; of candidates: how much rather it"
                         " looks like those with the label than like those without, -2 to 2")  # fmt: skip


class AlikePage(Out):
    images: list[Alike]
    known: int
    total: int = Field(description="images of the project; those that are not known are not among the answers")


class SimilarQuery(In):
    image: Annotated[list[PublicId], Field(min_length=1, max_length=100)] = Field(
        description="Alike to this image; several times: to all of them together."
    )
    label: Annotated[list[PublicId], Field(max_length=50)] = Field(default=[], description="Only images with it.")
    without_label: Annotated[list[PublicId], Field(max_length=50)] = Field(default=[], description="Only without.")
    threshold: float = Field(default=0.0, ge=-1, le=1, description="The lowest score.")
    limit: int = Field(default=100, ge=1, le=1000)


class SuggestionQuery(In):
    label: PublicId = Field(description="Candidates for this label.")
    unlabelled: bool = Field(default=False, description="Only images without any label.")
    limit: int = Field(default=100, ge=1, le=1000)


class Rejection(In):
    label: PublicId
    selection: Selection = Field(description="images that do not have it: they are not suggested again")


class Rejected(Out):
    images: int


class GroupsQuery(In):
    threshold: float = Field(
        default=NEAR_DUPLICATE, ge=0.97, le=1, description="The cosine from which two images are near-duplicates."
    )
    limit: int = Field(default=100, ge=1, le=1000, description="Groups, the largest first.")


class DuplicateGroup(Out):
    images: list[Alike] = Field(
        description="labelled ones first, then by size: the first is the one to keep; 200 at most"
    )
    disagree: bool = Field(description="whether they have different labels")


class DuplicateGroups(Out):
    state: Literal["ready", "working"]
    done: int = Field(description="images compared")
    total: int
    groups: list[DuplicateGroup]
    count: int = Field(description="of all groups")
    spare: int = Field(description="images that would go if one of each group stayed")
    threshold: float


class DoubtedLabel(Out):
    image: PublicId
    name: str
    add: str = Field(description="the label of its neighbours, by its name")
    remove: str = Field(description="its own")
    share: float = Field(description="of its labelled neighbours that carry `add`")


class Doubts(Out):
    state: Literal["ready", "working"]
    done: int
    total: int
    issues: list[DoubtedLabel]
    count: int


@similarity.get("/features")
@requires(Privilege.VIEW)
@described(Group.SIMILARITY, "Which images are known?", example=STATE_EXAMPLE)
def state(project: str) -> Reading:
    """What images look like is read after uploads, by a job of its own."""
    with context().database.reading() as connection:
        found = _features(connection)
        own = (jobs.c.project_id == this_project().id) & (jobs.c.kind == Kind.FEATURES)
        held = [state.value for state in HELD]
        row = connection.execute(
            select(jobs.c.state, jobs.c.progress)
            .where(own, jobs.c.state.in_([*held, State.QUEUED.value]))
            .order_by(jobs.c.state != State.RUNNING, jobs.c.id)
            .limit(1)
        ).one_or_none()
    progress = {} if row is None else row.progress
    return Reading(
        images=found.total, known=len(found),
        state="idle" if row is None else "reading" if row.state in held else "waiting",
        done=progress.get("done"), total=progress.get("total"), eta_s=progress.get("eta_s"),
    )  # fmt: skip


@similarity.post("/features")
@requires(Privilege.LABEL)
@described(Group.SIMILARITY, "Read the images that are not known", example=STATE_EXAMPLE)
def read_now(project: str) -> Reading:
    """Where it waits already, nothing happens."""
    parts = context()
    with parts.database.writing() as connection:
        add_features(connection, this_project().id, parts.now())
    return state(project)


@similarity.get("/similarity")
@requires(Privilege.VIEW)
@described(
    Group.SIMILARITY, "Images that look alike", parameters=query(SimilarQuery),
    example={"images": [ALIKE_EXAMPLE], "known": 2527, "total": 2527}, problems=("PARAMETER_INVALID", "NOT_KNOWN"),
)  # fmt: skip
def similar(project: str) -> AlikePage:
    """To one image, or to several together; without these themselves."""
    asked = read_query(SimilarQuery)
    with context().database.reading() as connection:
        found = _features(connection)
        ids_of_images(connection, this_project().id, asked.image)
        rows = [found.row_of[image] for image in asked.image if image in found.row_of]
        if not rows:
            raise NotFound("It is not known yet what this image looks like. Try again in a moment.", "NOT_KNOWN")
        among = _among(connection, found, asked.label, asked.without_label)
        among[rows] = False
        scores = scores_of(found, found.vectors[rows])
        return _page(connection, found, best(scores, among, asked.limit, asked.threshold), scores)


@similarity.get("/suggestions")
@requires(Privilege.VIEW)
@described(
    Group.SIMILARITY, "Candidates for a label", parameters=query(SuggestionQuery),
    example={"images": [ALIKE_EXAMPLE], "known": 2527, "total": 2527}, problems=("PARAMETER_INVALID", "NOT_KNOWN"),
)  # fmt: skip
def suggestions(project: str) -> AlikePage:
    """Images without the label that look like those that have it, and not like others; without those rejected."""
    asked = read_query(SuggestionQuery)
    with context().database.reading() as connection:
        found = _features(connection)
        label = find_label(connection, this_project().id, asked.label)
        has = rows_with(connection, found, label.id)
        if not has.any():
            raise NotFound("No image with this label is known yet. Put it on one or two.", "NOT_KNOWN")
        refused = select(rejections.c.image_id).where(rejections.c.label_id == label.id)
        rejected = np.isin(found.ids, list(connection.scalars(refused)))
        default = default_places(connection, this_project().id, found)
        among = ~has & ~rejected & (default < 0 if asked.unlabelled else True)
        scores = candidates_for(found, has, (~has & (default >= 0)) | rejected)
        return _page(connection, found, best(scores, among, asked.limit, -2.0), scores)


@similarity.post("/rejections")
@requires(Privilege.LABEL)
@described(
    Group.SIMILARITY, "Reject candidates", example={"images": 1},
    body=body(Rejection, {"label": "q5Zc7NfGhJt", "selection": {"images": ["m9Ls2VbXuRd"]}}),
    problems=(*BODY, "TOO_MANY"),
)  # fmt: skip
def reject(project: str) -> Rejected:
    """They do not have the label. Putting it on one of them is possible all the same."""
    given, parts, here = read_model(Rejection), context(), this_project()
    with parts.database.writing() as connection:
        lock_project(connection, here.id)
        label = find_label(connection, here.id, given.label)
        ids = given.selection.resolve(connection, here.id)
        known = select(rejections.c.image_id).where(rejections.c.label_id == label.id)
        fresh = sorted(set(ids) - set(connection.scalars(known)))
        row = {"label_id": label.id, "user_id": principal().user_id, "at": parts.now()}
        if fresh:
            connection.execute(insert(rejections), [{**row, "image_id": image} for image in fresh])
    return Rejected(images=len(ids))


@similarity.get("/near-duplicates")
@requires(Privilege.VIEW)
@described(
    Group.SIMILARITY, "Near-duplicates", parameters=query(GroupsQuery), problems=("PARAMETER_INVALID",),
    example={"state": "ready", "done": 2527, "total": 2527, "count": 1, "spare": 1, "threshold": 0.985,
             "groups": [{"images": [ALIKE_EXAMPLE, ALIKE_EXAMPLE], "disagree": False}]},
)  # fmt: skip
def near_duplicates(project: str) -> DuplicateGroups:
    """Images that look the same: crops, other sizes and qualities, bursts. While it is worked out, how far it is."""
    asked = read_query(GroupsQuery)
    with context().database.reading() as connection:
        found = _features(connection)
    known = context().neighbours.of(this_project().id, found, _WAIT_S)  # without a connection: others need it
    if not isinstance(known, Neighbours):
        return DuplicateGroups(
            state="working", done=known.done, total=known.total, groups=[], count=0, spare=0, threshold=asked.threshold
        )
    with context().database.reading() as connection:
        groups = sorted(known.groups(asked.threshold), key=lambda rows: (-len(rows), int(rows[0])))
        shown = [_group(connection, found, rows) for rows in groups[: asked.limit]]
    return DuplicateGroups(
        state="ready", done=len(found), total=len(found), groups=shown, count=len(groups),
        spare=sum(len(rows) - 1 for rows in groups), threshold=asked.threshold,
    )  # fmt: skip


@similarity.get("/label-doubts")
@requires(Privilege.VIEW)
@described(
    Group.SIMILARITY, "Labels that neighbours doubt",
    example={"state": "ready", "done": 2527, "total": 2527, "count": 1,
             "issues": [{"image": "m9Ls2VbXuRd", "name": "glass/1.jpg", "add": "metal", "remove": "glass",
                         "share": 0.9}]},
)  # fmt: skip
def doubted(project: str) -> Doubts:
    """Before anything was trained: images whose nearest neighbours agree on another label. The surest first."""
    with context().database.reading() as connection:
        found = _features(connection)
    known = context().neighbours.of(this_project().id, found, _WAIT_S)
    if not isinstance(known, Neighbours):
        return Doubts(state="working", done=known.done, total=known.total, issues=[], count=0)
    with context().database.reading() as connection:
        names = [label.name for label in list_labels(connection, this_project().id)]
        all_of_them = doubts(known.nearest, default_places(connection, this_project().id, found), len(names))
        told = _told(connection, found, [doubt.row for doubt in all_of_them[:500]])
    issues = [
        DoubtedLabel(
            image=found.public_ids[doubt.row], name=told[doubt.row][0], add=names[doubt.add],
            remove=names[doubt.remove], share=round(doubt.share, 3),
        )
        for doubt in all_of_them[:500] if doubt.row in told
    ]  # fmt: skip
    return Doubts(state="ready", done=len(found), total=len(found), issues=issues, count=len(all_of_them))


this_project = project  # views have an argument of the name, as their addresses do


def _features(connection: Connection) -> ProjectFeatures:
    return context().features.of_project(connection, this_project().id)


def _among(connection: Connection, found: ProjectFeatures, wanted: list[str], unwanted: list[str]) -> NDArray[np.bool_]:
    among = np.ones(len(found), np.bool_)
    for public_id in wanted:
        among &= rows_with(connection, found, find_label(connection, this_project().id, public_id).id)
    for public_id in unwanted:
        among &= ~rows_with(connection, found, find_label(connection, this_project().id, public_id).id)
    return among


def _page(
    connection: Connection, found: ProjectFeatures, rows: NDArray[np.int64], scores: NDArray[np.float32]
) -> AlikePage:
    told = _told(connection, found, rows.tolist())
    return AlikePage(
        images=[
            Alike(
                image=found.public_ids[row], name=told[row][0], labels=told[row][1], score=round(float(scores[row]), 4)
            )
            for row in rows.tolist()
            if row in told
        ],
        known=len(found),
        total=found.total,
    )


def _rounded(score: np.float32) -> float:
    return round(float(score), 4)


def _group(connection: Connection, found: ProjectFeatures, rows: NDArray[np.int64]) -> DuplicateGroup:
    centre = found.vectors[rows].mean(axis=0)
    told = _told(connection, found, rows[:200].tolist())
    by_size = sorted(told, key=lambda row: (not told[row][1], -told[row][2], row))
    shown = [
        Alike(
            image=found.public_ids[row], name=told[row][0], labels=told[row][1],
            score=_rounded(found.vectors[row] @ centre),
        )
        for row in by_size
    ]  # fmt: skip
    return DuplicateGroup(images=shown, disagree=len({tuple(each.labels) for each in shown if each.labels}) > 1)


def _told(connection: Connection, found: ProjectFeatures, rows: list[int]) -> dict[int, tuple[str, list[str], int]]:
    """Name, labels' public ids and pixels of the images of these rows; without those removed a moment ago."""
    ids = {int(found.ids[row]): row for row in rows}
    columns = (images.c.id, images.c.name, images.c.width, images.c.height)
    named = {
        row.id: (row.name, row.width * row.height)
        for row in connection.execute(select(*columns).where(images.c.id.in_(ids)))
    }
    on: dict[int, list[str]] = {}
    pairs = (
        select(image_labels.c.image_id, labels.c.public_id)
        .join(labels, labels.c.id == image_labels.c.label_id)
        .where(image_labels.c.image_id.in_(ids), labels.c.removed_at.is_(None))
        .order_by(labels.c.position)
    )
    for image_id, label in connection.execute(pairs):
        on.setdefault(image_id, []).append(label)
    return {row: (named[image][0], on.get(image, []), named[image][1]) for image, row in ids.items() if image in named}
