"""The cloud product's search by an image, which names its project in the query."""

from __future__ import annotations

import numpy as np
from flask import Response, jsonify, request
from pydantic import Field
from sqlalchemy import select

from server.openapi.describe import BINARY, Answer, Content, described
from server.openapi.problems import IMAGE as IMAGE_CODES
from server.uploads import read_body
from studio.access.guard import principal, signed_in
from studio.access.privileges import Privilege
from studio.context import context
from studio.database.tables import images
from studio.errors import Forbidden
from studio.labels.vocabulary import list_labels
from studio.projects.store import find_project
from studio.routes.groups import Group
from studio.routes.routes import Routes
from studio.routes.wire import JSON, In, Out, PublicId, query, read_query
from studio.similarity.labelled import rows_with
from studio.similarity.search import best, scores_of

cloud_similarity = Routes("cloud_similarity", __name__, url_prefix="/api")


class SearchQuery(In):
    project: PublicId = Field(description="Whose images are searched.")
    limit: int = Field(default=10, ge=1, le=1000, description="Images, at most.")
    threshold: float = Field(default=0.0, ge=0, le=100, description="The lowest score, 0 to 100.")
    labels: str = Field(default="", max_length=4000, description="Names, between commas: only images that have one.")
    all_labels: bool = Field(default=False, alias="and", description="Only images that have all of the labels.")


class Found(Out):
    image: str = Field(description="its name")
    score: float = Field(description="0 to 100")


@cloud_similarity.post("/similarity")
@signed_in
@described(
    Group.CLOUD, "Images that look like this one", parameters=query(SearchQuery),
    body=(Content("application/octet-stream", BINARY, "the image's bytes"),),
    answers={200: Answer("The most alike first.", (
        Content(JSON, list[Found], example=[{"image": "glass/1.jpg", "score": 93.1}]),
    ))},
    problems=("BODY_BROKEN", "BODY_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "PARAMETER_INVALID", "PROJECT_NOT_FOUND",
              "SCOPE_MISSING", "PRIVILEGE_MISSING", "LABEL_NOT_FOUND", "NOT_KNOWN", *IMAGE_CODES),
)  # fmt: skip
def search(**_: str) -> Response:
    """The image need not be in the project, and is not kept."""
    asked, parts, who = read_query(SearchQuery), context(), principal()
    with parts.database.reading() as connection:
        here = find_project(connection, asked.project, who)
    if Privilege.VIEW not in who.opened:
        raise Forbidden("This call needs a token whose scopes allow view.", "SCOPE_MISSING")
    data = read_body(request, parts.settings.max_image_bytes)
    wanted = parts.encoder.direction(data, parts.settings.image_limits)
    names = [name.strip() for name in asked.labels.split(",") if name.strip()]
    with parts.database.reading() as connection:
        found = parts.features.of_project(connection, here.id)
        ids = {label.name: label.id for label in list_labels(connection, here.id)}
        masks = [rows_with(connection, found, ids[name]) for name in names if name in ids]
        among = np.full(len(found), not names)
        if masks:
            among = np.logical_and.reduce(masks) if asked.all_labels else np.logical_or.reduce(masks)
        if asked.all_labels and len(masks) < len(names):
            among[:] = False
        scores = scores_of(found, wanted)
        rows = best(scores, among, asked.limit, asked.threshold / 100)
        chosen = [int(found.ids[row]) for row in rows]
        named = select(images.c.id, images.c.name).where(images.c.id.in_(chosen))
        called = {row.id: row.name for row in connection.execute(named)}
    told = [
        Found(image=called[image], score=round(100 * max(0.0, float(scores[row])), 2))
        for row, image in zip(rows.tolist(), chosen, strict=True)
        if image in called
    ]
    return jsonify([each.model_dump() for each in told])
