"""How a client says which images it means: by ids, or by a filter and what is left out of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.json_schema import SkipJsonSchema
from sqlalchemy import Connection

from studio.access.users import find_user
from studio.database.tables.images import MULTI, SINGLE, UNLABELLED
from studio.images.filters import Filter, ids_of_filter, ids_of_images
from studio.labels.vocabulary import find_labels
from studio.routes.wire import MOST_IDS, In, Part, PublicId

Kind = Literal["unlabelled", "single", "multi"]
_KINDS: dict[str, int] = {"unlabelled": UNLABELLED, "single": SINGLE, "multi": MULTI}
Ids = Annotated[list[PublicId], Field(max_length=MOST_IDS)]
Labels = Annotated[list[PublicId], Field(max_length=50)]


class ImageFilter(In):
    """All that is given must hold."""

    label: Labels = Field(default=[], description="The image has this label; several times: all of them.")
    without_label: Labels = Field(default=[], description="The image has none of these labels.")
    default_label: PublicId | SkipJsonSchema[None] = Field(
        default=None, description="Its default label: the one that was chosen, else its only one."
    )
    kind: Annotated[list[Kind], Field(max_length=3)] = Field(
        default=[], description="How many labels it has: none, one or several."
    )
    validation: bool | SkipJsonSchema[None] = Field(default=None, description="Whether it is flagged for validation.")
    uploaded_by: PublicId | SkipJsonSchema[None] = Field(default=None, description="Who uploaded it: a user's id.")
    labelled_by: PublicId | SkipJsonSchema[None] = Field(
        default=None, description="Who put one of its labels on: a user's id."
    )
    name: Part | SkipJsonSchema[None] = Field(default=None, max_length=200, description="A part of its name.")

    def resolve(self, connection: Connection, project_id: int) -> Filter:
        """With internal ids. Raises NotFound for a label or a user that is not there."""
        ids = find_labels(
            connection,
            project_id,
            [*self.label, *self.without_label, *([self.default_label] if self.default_label else [])],
        )
        return Filter(
            labels=tuple(dict.fromkeys(ids[label] for label in self.label)),
            without=tuple(dict.fromkeys(ids[label] for label in self.without_label)),
            default_label=ids[self.default_label] if self.default_label else None,
            kinds=tuple(_KINDS[kind] for kind in self.kind),
            validation=self.validation,
            uploaded_by=find_user(connection, self.uploaded_by).id if self.uploaded_by else None,
            labelled_by=find_user(connection, self.labelled_by).id if self.labelled_by else None,
            name=self.name,
        )


class Selection(In):
    """Either `images`, or `filter` and perhaps `but`."""

    images: Ids | None = Field(default=None, description="ids")
    filter: ImageFilter | None = Field(default=None, description="all images that it fits; {} is all there are")
    but: Ids = Field(default=[], description="ids of those that are left out of the filter's")

    @model_validator(mode="after")
    def _one_of_two(self) -> Selection:
        if (self.images is None) is (self.filter is None):
            raise ValueError("expected either images or filter")
        return self

    def resolve(self, connection: Connection, project_id: int) -> list[int]:
        """Internal ids, ascending. Raises NotFound, TooMany."""
        if self.images is not None:
            return ids_of_images(connection, project_id, self.images)
        assert self.filter is not None
        return ids_of_filter(connection, project_id, self.filter.resolve(connection, project_id), self.but)
