"""Which labels a project has."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from pydantic import Field
from sqlalchemy import Row

from server.openapi.describe import described
from studio.access.guard import principal, project, requires
from studio.access.privileges import Privilege
from studio.context import context
from studio.labels.vocabulary import (
    add_label,
    change_label,
    counts_of_labels,
    find_label,
    list_labels,
    merge_labels,
    order_labels,
    remove_label,
)
from studio.projects.store import lock_project
from studio.routes.groups import Group
from studio.routes.problems import BODY
from studio.routes.routes import Routes
from studio.routes.wire import DONE, In, Out, PublicId, body, created, read_model

labels = Routes("labels", __name__, url_prefix="/studio/v1/projects/<project>/labels")

LabelName = Annotated[str, Field(min_length=1, max_length=200)]
Colour = Annotated[str, Field(pattern="^#[0-9a-f]{6}$")]
LABEL_EXAMPLE: Any = {"id": "q5Zc7NfGhJt", "name": "glass", "colour": "#0072b2", "images": 501}


class NewLabel(In):
    name: LabelName
    colour: Colour | None = Field(default=None, description="else the next of a palette")


class ChangedLabel(In):
    """What is not given stays as it is."""

    name: LabelName | None = None
    colour: Colour | None = None


class LabelOrder(In):
    labels: Annotated[list[PublicId], Field(max_length=10_000, description="these first; the others as they were")]


class Merge(In):
    into: PublicId = Field(description="the label that every image of the merged one gets")


class Label(Out):
    id: PublicId
    name: str
    colour: Colour
    images: int = Field(description="that have it")


class Labels(Out):
    labels: list[Label] = Field(description="in the order of the panel; the number keys 1 to 9 follow it")


class Merged(Out):
    images: int = Field(description="that had the merged label")


@labels.get("")
@requires(Privilege.VIEW)
@described(Group.LABELS, "All labels", example={"labels": [LABEL_EXAMPLE]})
def all_labels(project: str) -> Labels:
    """With the number of images that have each."""
    return _labels()


@labels.post("")
@requires(Privilege.EDIT_LABELS)
@described(
    Group.LABELS, "Add a label", body=body(NewLabel, {"name": "glass"}),
    answers=created(Label, "The label.", {**LABEL_EXAMPLE, "images": 0}),
    problems=(*BODY, "VALUE_INVALID", "LABEL_TAKEN"),
)  # fmt: skip
def add(project: str) -> tuple[Label, int]:
    """At the end of the panel."""
    given, parts = read_model(NewLabel), context()
    with parts.database.writing() as connection:
        row = add_label(connection, this_project().id, principal().user_id, given.name, given.colour, parts.now())
    return _label(row, 0), 201


@labels.put("/order")
@requires(Privilege.EDIT_LABELS)
@described(
    Group.LABELS, "Order the labels", body=body(LabelOrder, {"labels": ["q5Zc7NfGhJt"]}),
    example={"labels": [LABEL_EXAMPLE]}, problems=BODY,
)  # fmt: skip
def order(project: str) -> Labels:
    """Of the panel, and so of the number keys."""
    given = read_model(LabelOrder)
    with context().database.writing() as connection:
        order_labels(connection, this_project().id, given.labels)
    return _labels()


@labels.patch("/<id:label>")
@requires(Privilege.EDIT_LABELS)
@described(
    Group.LABELS, "Rename or recolour a label", body=body(ChangedLabel, {"name": "Glass"}), example=LABEL_EXAMPLE,
    problems=(*BODY, "VALUE_INVALID", "LABEL_TAKEN"),
)  # fmt: skip
def change(project: str, label: str) -> Label:
    """Where the new name is another label's, merge the two instead."""
    given, parts, here = read_model(ChangedLabel), context(), this_project()
    with parts.database.writing() as connection:
        lock_project(connection, here.id)
        row = change_label(
            connection,
            find_label(connection, here.id, label),
            principal().user_id,
            parts.now(),
            name=given.name,
            colour=given.colour,
        )
        return _label(row, counts_of_labels(connection, here.id).get(row.id, 0))


@labels.delete("/<id:label>")
@requires(Privilege.EDIT_LABELS)
@described(Group.LABELS, "Remove a label", answers=DONE)
def remove(project: str, label: str) -> Response:
    """From every image, and out of the panel. An undo brings all of it back."""
    parts, here = context(), this_project()
    with parts.database.writing() as connection:
        lock_project(connection, here.id)
        event, _ = remove_label(connection, find_label(connection, here.id, label), principal().user_id, parts.now())
        event.finish()
    return Response(status=204)


@labels.post("/<id:label>/merge")
@requires(Privilege.EDIT_LABELS)
@described(
    Group.LABELS, "Merge a label into another", body=body(Merge, {"into": "q5Zc7NfGhJt"}), example={"images": 12},
    problems=(*BODY, "VALUE_INVALID"),
)  # fmt: skip
def merge(project: str, label: str) -> Merged:
    """Every image of this one gets the other, also as its default; then this one goes. An undo brings it back."""
    given, parts, here = read_model(Merge), context(), this_project()
    with parts.database.writing() as connection:
        lock_project(connection, here.id)
        row, into = find_label(connection, here.id, label), find_label(connection, here.id, given.into)
        event, count = merge_labels(connection, row, into, principal().user_id, parts.now())
        event.finish()
    return Merged(images=count)


this_project = project  # views have an argument of the name, as their addresses do


def _labels() -> Labels:
    here = this_project()
    with context().database.reading() as connection:
        per_label = counts_of_labels(connection, here.id)
        return Labels(labels=[_label(row, per_label.get(row.id, 0)) for row in list_labels(connection, here.id)])


def _label(row: Row[Any], images: int) -> Label:
    return Label(id=row.public_id, name=row.name, colour=row.colour, images=images)
