"""Which images have which labels: changes of one or many, undo, events, label files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from flask import Response, request
from pydantic import Field
from sqlalchemy import Connection

from server.openapi.describe import BINARY, Answer, Content, described
from server.uploads import read_body
from studio.access.guard import principal, project, requires
from studio.access.privileges import Privilege
from studio.context import context
from studio.database.paging import cut, decode_cursor, encode_cursor
from studio.images.filters import ids_by_name
from studio.labels.changes import choose_default, flag_images, label_images
from studio.labels.events import Change, Event, Kind
from studio.labels.history import Told, list_events
from studio.labels.label_files import Mode, apply_labels, read_labels, write_csv, write_json
from studio.labels.undo import undo_latest
from studio.labels.vocabulary import find_labels
from studio.projects.store import lock_project
from studio.routes.groups import Group
from studio.routes.problems import BODY, PAGE
from studio.routes.routes import Routes
from studio.routes.selections import Selection
from studio.routes.wire import (
    JSON,
    In,
    Moment,
    Out,
    PageQuery,
    PublicId,
    body,
    query,
    read_model,
    read_query,
)

labelling = Routes("labelling", __name__, url_prefix="/studio/v1/projects/<project>")

MAX_LABEL_FILE_BYTES = 128 * 1024 * 1024
LabelIds = Annotated[list[PublicId], Field(max_length=100)]
CHANGE_EXAMPLE: Any = {"event": "e2Vw6bXkQfs", "images": 1}


class Labelling(In):
    selection: Selection
    add: LabelIds = Field(default=[], description="labels to put on")
    remove: LabelIds = Field(default=[], description="labels to take off")
    replace: bool = Field(default=False, description="take off all others than those to put on")
    default: bool = Field(default=False, description="make the first label that is put on the images' default")


class DefaultLabel(In):
    selection: Selection
    label: PublicId | None = Field(description="the default of those images that have it; null: none chosen")


class ValidationFlag(In):
    selection: Selection
    validation: bool


class Changed(Out):
    event: PublicId | None = Field(description="to be found in the events; null where nothing changed")
    images: int = Field(description="that are other ones now")


class Undone(Changed):
    undone: PublicId = Field(description="the event that was undone")
    kind: Kind = Field(description="of that")


class LabelFileQuery(In):
    mode: Mode = Field(default="add", description="`replace`: other labels of the images that the file names go.")


class LabelFileFormat(In):
    format: Literal["csv", "json"] = Field(default="csv", description="JSON keeps labels with commas in them whole.")


class LabelFileResult(Changed):
    """What became of the file."""

    rows: int
    meant: int = Field(description="images that a row names")
    unknown: list[str] = Field(description="names of no image here; the first thousand")
    ambiguous: list[str] = Field(description="names that fit several images; the first thousand")
    warnings: list[str]


class EventChange(Out):
    change: Change
    label: str | None = Field(description="its name by now; null where the change is about none")
    before: str | None = Field(description="of a default label: the one before")
    images: int


class ListedEvent(Out):
    id: PublicId
    kind: Kind
    at: Moment
    user: PublicId | None
    user_name: str | None = Field(description="null for a user who is gone")
    images: int = Field(description="that it changed; one that it changed twice counts twice")
    undone: bool
    changes: list[EventChange]
    details: dict[str, Any] = Field(description="names before and after")


class EventPage(Out):
    events: list[ListedEvent]
    next: str | None = Field(description="send it as `after`; null at the end")


@labelling.post("/labelling")
@requires(Privilege.LABEL)
@described(
    Group.LABELLING, "Put labels on images, and take them off",
    body=body(Labelling, {"selection": {"images": ["m9Ls2VbXuRd"]}, "add": ["q5Zc7NfGhJt"]}),
    example=CHANGE_EXAMPLE, problems=(*BODY, "TOO_MANY"),
)  # fmt: skip
def label(project: str) -> Changed:
    """Of one image or a hundred thousand: one event, which one undo takes back."""
    given = read_model(Labelling)

    def change(connection: Connection, project_id: int, ids: list[int]) -> Event:
        labels = find_labels(connection, project_id, [*given.add, *given.remove])
        return label_images(
            connection,
            project_id,
            principal().user_id,
            ids,
            context().now(),
            add=[labels[label] for label in dict.fromkeys(given.add)],
            remove=[labels[label] for label in dict.fromkeys(given.remove) if label not in given.add],
            replace=given.replace,
            make_default=given.default,
        )

    return _changed(given.selection, change)


@labelling.post("/default-label")
@requires(Privilege.LABEL)
@described(
    Group.LABELLING, "Choose the default label",
    body=body(DefaultLabel, {"selection": {"filter": {"label": ["q5Zc7NfGhJt"]}}, "label": "q5Zc7NfGhJt"}),
    example=CHANGE_EXAMPLE, problems=(*BODY, "TOO_MANY"),
)  # fmt: skip
def default_label(project: str) -> Changed:
    """That single-label training takes, of images with several labels. The star is a filter by the label."""
    given = read_model(DefaultLabel)

    def change(connection: Connection, project_id: int, ids: list[int]) -> Event:
        label_id = find_labels(connection, project_id, [given.label])[given.label] if given.label else None
        return choose_default(connection, project_id, principal().user_id, ids, label_id, context().now())

    return _changed(given.selection, change)


@labelling.post("/validation")
@requires(Privilege.LABEL)
@described(
    Group.LABELLING, "Flag images for validation",
    body=body(ValidationFlag, {"selection": {"images": ["m9Ls2VbXuRd"]}, "validation": True}),
    example=CHANGE_EXAMPLE, problems=(*BODY, "TOO_MANY"),
)  # fmt: skip
def validation(project: str) -> Changed:
    """The user-defined validation set, or no longer."""
    given = read_model(ValidationFlag)

    def change(connection: Connection, project_id: int, ids: list[int]) -> Event:
        return flag_images(connection, project_id, principal().user_id, ids, given.validation, context().now())

    return _changed(given.selection, change)


@labelling.post("/undo")
@requires(Privilege.LABEL)
@described(
    Group.LABELLING, "Undo my latest change", problems=("NOTHING_TO_UNDO", "LABEL_TAKEN"),
    example={**CHANGE_EXAMPLE, "undone": "e9Kd2mYtZwa", "kind": "label"},
)  # fmt: skip
def undo(project: str) -> Undone:
    """In this project; called again, the one before it. What others changed since stays theirs."""
    here = this_project()
    with context().database.writing() as connection:
        event, undone = undo_latest(connection, here.id, principal().user_id, context().now())
    return Undone(event=event.public_id, images=len(event.changed), undone=undone.public_id, kind=Kind(undone.kind))


@labelling.get("/events")
@requires(Privilege.VIEW)
@described(Group.LABELLING, "Who changed what", parameters=query(PageQuery), problems=PAGE)
def all_events(project: str) -> EventPage:
    """The latest first."""
    asked, here = read_query(PageQuery), this_project()
    before_id = decode_cursor(asked.after, int)[0] if asked.after else None
    with context().database.reading() as connection:
        told, last = cut(list_events(connection, here.id, asked.limit + 1, before_id), asked.limit)
    return EventPage(events=[_listed(one) for one in told], next=None if last is None else encode_cursor(last.row.id))


@labelling.get("/label-file")
@requires(Privilege.VIEW)
@described(
    Group.LABELLING, "Download the labels", parameters=query(LabelFileFormat),
    answers={200: Answer("A line an image, by name.", (
        Content("text/csv", BINARY, "name, labels"), Content(JSON, {"type": "object"}, "name: [labels]"),
    ))},
    problems=("PARAMETER_INVALID",),
)  # fmt: skip
def download_labels(project: str) -> Response:
    """As training and uploads take them."""
    asked, here, database = read_query(LabelFileFormat), this_project(), context().database
    write = write_csv if asked.format == "csv" else write_json
    response = Response(write(database, here.id), content_type="text/csv" if asked.format == "csv" else JSON)
    response.headers["Content-Disposition"] = f'attachment; filename="labels.{asked.format}"'
    return response


@labelling.post("/label-file")
@requires(Privilege.LABEL)
@described(
    Group.LABELLING, "Label by a file", parameters=query(LabelFileQuery),
    body=(Content("text/csv", BINARY, "name, labels"), Content(JSON, {"type": "object"}, "name: [labels]"),
          Content("application/octet-stream", BINARY, "either")),
    problems=("BODY_BROKEN", "BODY_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "PARAMETER_INVALID", "VALUE_INVALID",
              "UPLOAD_BROKEN"),
)  # fmt: skip
def upload_labels(project: str) -> LabelFileResult:
    """The file's name first, its labels after it; or as the trainer takes them (docs/studio.md). New labels are made.

    Names that are not here, or fit several images, are reported, and the rest is done: one event.
    """
    asked, parts, here = read_query(LabelFileQuery), context(), this_project()
    data = read_body(request, MAX_LABEL_FILE_BYTES)
    with tempfile.TemporaryDirectory(dir=parts.settings.incoming_folder) as folder:
        file = Path(folder) / ("labels.json" if request.mimetype == JSON else "labels.csv")
        file.write_bytes(data)
        with parts.database.reading() as connection:
            ids = ids_by_name(connection, here.id)
        read = read_labels(ids, file)
    with parts.database.writing() as connection:
        lock_project(connection, here.id)
        event, report = apply_labels(connection, here.id, principal().user_id, read, asked.mode, parts.now())
        changed = event.finish()
    told = asdict(report)
    return LabelFileResult(
        event=event.public_id if changed else None, images=told.pop("changed"), meant=told.pop("images"), **told
    )


this_project = project  # views have an argument of the name, as their addresses do


def _changed(selection: Selection, change: Callable[[Connection, int, list[int]], Event]) -> Changed:
    """Find the images under the project's lock, so that none of them goes meanwhile, and change them."""
    here = this_project()
    with context().database.writing() as connection:
        lock_project(connection, here.id)
        event = change(connection, here.id, selection.resolve(connection, here.id))
        changed = event.finish()
    return Changed(event=event.public_id if changed else None, images=len(event.changed))


def _listed(told: Told) -> ListedEvent:
    row = told.row
    return ListedEvent(
        id=row.public_id,
        kind=Kind(row.kind),
        at=row.at,
        user=row.user,
        user_name=row.user_name,
        images=sum(one.images for one in told.changes),
        undone=row.is_undone,
        changes=[EventChange(**asdict(one)) for one in told.changes],
        details={name: value for name, value in row.details.items() if isinstance(value, str)},
    )
