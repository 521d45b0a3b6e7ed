"""Images of a project: upload, grid, counts, files, thumbnails, removal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from typing import Annotated, Any, Literal

from flask import Response, g, request, stream_with_context
from pydantic import Field
from sqlalchemy import Connection

from bundle.image_header import ImageFormat
from server.openapi.describe import BINARY, Answer, Content, described
from server.problems import problem_document
from studio.access import audit
from studio.access.guard import actor, principal, project, requires
from studio.access.privileges import Privilege
from studio.context import context
from studio.database.paging import MOST_ROWS
from studio.errors import Forbidden
from studio.images.add import known_digests
from studio.images.blobs import Blobs
from studio.images.grid import Order, Shown, count_images, find_image, page_of_images, starts_of_pages, uploaders
from studio.images.intake import FileReport, Intake
from studio.images.orphans import remove_unneeded
from studio.images.remove import remove_images
from studio.images.thumbnails import MEDIA_TYPE, look_at
from studio.labels.vocabulary import counts_of_labels, list_labels, normal_name
from studio.projects.store import lock_project
from studio.routes.groups import Group
from studio.routes.problems import BODY, PAGE
from studio.routes.routes import Routes
from studio.routes.selections import ImageFilter, Selection
from studio.routes.trouble import trouble_of
from studio.routes.uploads import uploaded_entries
from studio.routes.wire import (
    DONE,
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

images = Routes("images", __name__, url_prefix="/studio/v1/projects/<project>")

NDJSON = "application/x-ndjson"
UNCHANGING = "private, max-age=31536000, immutable"  # an image's id never means other bytes
MEDIA_TYPE_OF = {
    ImageFormat.JPEG: "image/jpeg", ImageFormat.PNG: "image/png", ImageFormat.WEBP: "image/webp",
    ImageFormat.BMP: "image/bmp", ImageFormat.TIFF: "image/tiff", ImageFormat.GIF: "image/gif",
}  # fmt: skip
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
IMAGE_EXAMPLE: Any = {
    "id": "m9Ls2VbXuRd", "name": "glass/1.jpg", "width": 341, "height": 256, "bytes": 17312, "format": "JPEG",
    "sha256": "0f" * 32, "labels": ["q5Zc7NfGhJt"], "default_label": "q5Zc7NfGhJt", "default_chosen": False,
    "validation": False, "uploaded_by": "7kQmTz3vWpa", "uploaded_at": "2026-03-01T12:00:00Z",
}  # fmt: skip
REPORT_EXAMPLE: Any = {
    "added": 1, "duplicates": 0, "refused": 1,
    "files": [
        {"name": "1.jpg", "outcome": "added", "image": "m9Ls2VbXuRd", "stored_name": "1.jpg", "sha256": "0f" * 32,
         "code": "", "detail": ""},
        {"name": "2.jpg", "outcome": "refused", "image": None, "stored_name": None, "sha256": "f0" * 32,
         "code": "IMAGE_CORRUPT", "detail": "JPEG image: expected the whole picture, ..."},
    ],
}  # fmt: skip


class GridQuery(PageQuery, ImageFilter):
    order: Order = Field(default=Order.OLDEST, description="By upload or by name.")


class StartsQuery(ImageFilter):
    order: Order = Field(default=Order.OLDEST, description="By upload or by name.")
    limit: int = Field(default=200, ge=50, le=MOST_ROWS, description="Images of a page.")


class UploadQuery(In):
    label: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=50)] = Field(
        default=[], description="A label by its name, put on every image; a new name makes a new label."
    )
    folder_labels: bool = Field(default=False, description="The name of the folder that an image lies in is a label.")
    validation: bool = Field(default=False, description="Flag the images that are new for validation.")


class Image(Out):
    id: PublicId
    name: str = Field(description="a path below the folder or in the archive that was uploaded")
    width: int = Field(description="pixels of the upright picture")
    height: int
    bytes: int
    format: ImageFormat
    sha256: Digest
    labels: list[PublicId] = Field(description="in the order of the panel")
    default_label: PublicId | None = Field(description="that single-label training takes")
    default_chosen: bool = Field(description="whether somebody chose it; else it is the only one")
    validation: bool
    uploaded_by: PublicId | None
    uploaded_at: Moment


class ImagePage(Out):
    images: list[Image]
    next: str | None = Field(description="send it as `after`; null at the end")


class PageStarts(Out):
    images: int = Field(description="that fit")
    starts: list[str] = Field(description="`after` of the second page, of the third and so on")


class LabelCount(Out):
    label: PublicId
    images: int


class Counts(Out):
    images: int
    unlabelled: int
    single: int = Field(description="with one label")
    multi: int = Field(description="with several")
    validation: int = Field(description="flagged for validation")
    labels: list[LabelCount] = Field(description="in the order of the panel")


class Report(Out):
    """What became of one file."""

    name: str
    outcome: Literal["added", "duplicate", "refused"]
    image: PublicId | None = Field(description="of a duplicate: the one that was there")
    stored_name: str | None = Field(description="another than `name` where that was taken")
    sha256: Digest | None
    code: str = Field(description="why it was refused, for programs; else empty")
    detail: str = Field(description="why, for people")


class UploadReport(Out):
    added: int
    duplicates: int
    refused: int
    files: list[Report] = Field(description="every file, in order")


class DigestQuestion(In):
    sha256: Annotated[list[Digest], Field(max_length=10_000)]


class KnownDigests(Out):
    sha256: list[Digest]


class Removed(Out):
    images: int


@images.get("/images")
@requires(Privilege.VIEW)
@described(
    Group.IMAGES, "A page of images", parameters=query(GridQuery),
    example={"images": [IMAGE_EXAMPLE], "next": None}, problems=PAGE,
)  # fmt: skip
def grid(project: str) -> ImagePage:
    """In the order asked for; with filters, of those that fit all of them."""
    asked, here = read_query(GridQuery), this_project()
    with context().database.reading() as connection:
        wanted = asked.resolve(connection, here.id)
        shown, following = page_of_images(connection, here.id, wanted, asked.order, asked.limit, asked.after)
        return ImagePage(images=described_images(connection, here.id, shown), next=following)


@images.get("/images/pages")
@requires(Privilege.VIEW)
@described(
    Group.IMAGES, "Where the pages of images begin", parameters=query(StartsQuery),
    example={"images": 450, "starts": ["WzIwMF0", "WzQwMF0"]}, problems=("PARAMETER_INVALID",),
)  # fmt: skip
def page_starts(project: str) -> PageStarts:
    """How many images fit, and what to send as `after` for any page of them: for a grid that is scrolled at will."""
    asked, here = read_query(StartsQuery), this_project()
    with context().database.reading() as connection:
        wanted = asked.resolve(connection, here.id)
        count, starts = starts_of_pages(connection, here.id, wanted, asked.order, asked.limit)
    return PageStarts(images=count, starts=starts)


@images.post("/images")
@requires(Privilege.UPLOAD)
@described(
    Group.IMAGES, "Upload images", parameters=query(UploadQuery),
    body=(
        Content("multipart/form-data", {"type": "object", "properties": {"file": {"type": "array", "items": BINARY}}},
                "files, among them archives"),
        Content("application/zip", BINARY, "an archive"),
    ),
    answers={200: Answer("What became of every file.", (
        Content(JSON, UploadReport, example=REPORT_EXAMPLE),
        Content(NDJSON, BINARY, "a line a file, as soon as it is kept for good; where the request has"
                " `Accept: application/x-ndjson`"),
    ))},
    problems=("BODY_BROKEN", "BODY_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "FORM_FILES", "PARAMETER_INVALID",
              "VALUE_INVALID", "UPLOAD_BROKEN", "TOO_MANY", "STORAGE_FULL"),
)  # fmt: skip
def upload(project: str) -> Response:
    """Files, folders and zip archives. What cannot be read is reported, and the rest is kept.

    Send `Accept: application/x-ndjson` for a line for every file while the upload is worked on: what a line tells of
    is durable. After an interruption send everything again: what is known costs little and comes back as a duplicate.
    """
    asked, parts, here = read_query(UploadQuery), context(), this_project()
    says_more = asked.label or asked.folder_labels or asked.validation
    if says_more and Privilege.LABEL not in here.privileges & principal().opened:
        raise Forbidden("Labels and flags at an upload need the privilege label.", "PRIVILEGE_MISSING")
    intake = Intake(
        parts,
        here.id,
        principal().user_id,
        tuple(normal_name(name) for name in asked.label),
        asked.folder_labels,
        asked.validation,
    )
    with ExitStack() as open_files:
        reports = intake.take(uploaded_entries(request, parts.settings, open_files))
        if request.accept_mimetypes.best_match([JSON, NDJSON], JSON) != NDJSON:
            return Response(_report(reports).model_dump_json(), content_type=JSON)
        still_open = open_files.pop_all()
        response = Response(stream_with_context(_lines(reports, still_open)), content_type=NDJSON)
        response.call_on_close(still_open.close)  # where a client is gone before the first line
        return response


@images.post("/images/known")
@requires(Privilege.UPLOAD)
@described(
    Group.IMAGES, "Which of these are there already?", body=body(DigestQuestion, {"sha256": ["0f" * 32]}),
    example={"sha256": []}, problems=BODY,
)  # fmt: skip
def known(project: str) -> KnownDigests:
    """By SHA-256 of the file, so that a client need not send them again."""
    asked = read_model(DigestQuestion).sha256
    with context().database.reading() as connection:
        found = known_digests(connection, this_project().id, asked)
    return KnownDigests(sha256=[digest for digest in dict.fromkeys(asked) if digest in found])


@images.post("/images/remove")
@requires(Privilege.REMOVE)
@described(
    Group.IMAGES, "Remove images", body=body(Selection, {"images": ["m9Ls2VbXuRd"]}), example={"images": 1},
    problems=(*BODY, "TOO_MANY"),
)  # fmt: skip
def remove(project: str) -> Removed:
    """For good; this is no change of labels and cannot be undone."""
    selection = read_model(Selection)
    return Removed(images=_remove(selection))


@images.get("/images/<id:image>")
@requires(Privilege.VIEW)
@described(Group.IMAGES, "One image", example=IMAGE_EXAMPLE)
def one(project: str, image: str) -> Image:
    """What is known of it; its bytes are at `/file`."""
    here = this_project()
    with context().database.reading() as connection:
        return described_images(connection, here.id, [find_image(connection, here.id, image)])[0]


@images.delete("/images/<id:image>")
@requires(Privilege.REMOVE)
@described(Group.IMAGES, "Remove one image", answers=DONE)
def remove_one(project: str, image: str) -> Response:
    """For good."""
    _remove(Selection(images=[image]))
    return Response(status=204)


@images.get("/images/<id:image>/file")
@requires(Privilege.VIEW)
@described(
    Group.IMAGES, "An image's bytes",
    answers={200: Answer("As they were uploaded.", tuple(Content(kind, BINARY) for kind in MEDIA_TYPE_OF.values()))},
)  # fmt: skip
def original(project: str, image: str) -> Response:
    """The file itself."""
    here = this_project()
    with context().database.reading() as connection:
        row = find_image(connection, here.id, image).row
    return file_response(context().originals, row.sha256, MEDIA_TYPE_OF[ImageFormat(row.format)])


@images.get("/images/<id:image>/thumbnail")
@requires(Privilege.VIEW)
@described(
    Group.IMAGES, "An image's thumbnail",
    answers={200: Answer("WebP, its longer side 256 pixels or the image's own.", (Content(MEDIA_TYPE, BINARY),))},
)  # fmt: skip
def thumbnail(project: str, image: str) -> Response:
    """Made at the upload; made again where it is gone."""
    here, parts = this_project(), context()
    with parts.database.reading() as connection:
        row = find_image(connection, here.id, image).row
    if not parts.thumbnails.has(row.sha256):
        parts.thumbnails.put(
            row.sha256, look_at(parts.originals.read(row.sha256), parts.settings.image_limits).thumbnail
        )
    return file_response(parts.thumbnails, row.sha256, MEDIA_TYPE)


@images.get("/counts")
@requires(Privilege.VIEW)
@described(Group.IMAGES, "How many of which kind")
def counts(project: str) -> Counts:
    """Of all images of the project."""
    here = this_project()
    with context().database.reading() as connection:
        found = count_images(connection, here.id)
        per_label = counts_of_labels(connection, here.id)
        rows = list_labels(connection, here.id)
    return Counts(
        **asdict(found), labels=[LabelCount(label=row.public_id, images=per_label.get(row.id, 0)) for row in rows]
    )


this_project = project  # views have an argument of the name, as their addresses do


def described_images(connection: Connection, project_id: int, shown: list[Shown]) -> list[Image]:
    """As the API shows them."""
    rows = list_labels(connection, project_id)
    place = {row.id: (number, row.public_id) for number, row in enumerate(rows)}
    users = uploaders(connection, shown)
    return [
        Image(
            id=one.row.public_id,
            name=one.row.name,
            width=one.row.width,
            height=one.row.height,
            bytes=one.row.bytes,
            format=ImageFormat(one.row.format),
            sha256=one.row.sha256,
            labels=[public_id for _, public_id in sorted(place[label] for label in one.labels if label in place)],
            default_label=place[one.default_label][1] if one.default_label in place else None,
            default_chosen=one.row.default_label_id is not None,
            validation=one.row.validation,
            uploaded_by=users.get(one.row.uploaded_by),
            uploaded_at=one.row.created_at,
        )
        for one in shown
    ]


def file_response(store: Blobs, digest: str, media_type: str) -> Response:
    """A kept file, with its digest as ETag."""
    response = Response(store.read(digest), content_type=media_type)
    response.headers["Cache-Control"] = UNCHANGING
    response.set_etag(digest)
    response.make_conditional(request)
    return response


def _remove(selection: Selection) -> int:
    """Find the images under the project's lock: what is no longer meant by then is not removed."""
    parts, here = context(), this_project()
    with parts.database.writing() as connection:
        lock_project(connection, here.id)
        digests = remove_images(connection, here.id, selection.resolve(connection, here.id))
        details = {"images": len(digests)}
        audit.record(connection, actor(), "images.removed", here.name, project_id=here.id, details=details)
    remove_unneeded(parts.database, (parts.originals, parts.thumbnails), digests)
    return len(digests)


def _report(reports: Iterable[FileReport]) -> UploadReport:
    files = [Report(**asdict(one)) for one in reports]
    outcomes = [file.outcome for file in files]
    return UploadReport(
        added=outcomes.count("added"),
        duplicates=outcomes.count("duplicate"),
        refused=outcomes.count("refused"),
        files=files,
    )


def _lines(reports: Iterator[FileReport], open_files: ExitStack) -> Iterator[str]:
    """The answer has begun, so what goes wrong on the way comes as a last line: a problem document."""
    try:
        with open_files:
            for one in reports:
                yield json.dumps(asdict(one), ensure_ascii=False) + "\n"
    except Exception as error:
        problem = trouble_of(error, g.request_id)
        yield problem_document(problem.status, problem.code, problem.detail, g.request_id).decode() + "\n"
