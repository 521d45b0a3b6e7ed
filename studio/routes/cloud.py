"""The calls that programs of the cloud product make already: projects, and images by their names."""

from __future__ import annotations

from flask import Response, jsonify, request
from pydantic import Field
from sqlalchemy import select

from bundle.image_header import ImageFormat
from server.openapi.describe import BINARY, Answer, Content, Parameter, described
from server.openapi.problems import IMAGE as IMAGE_CODES
from server.uploads import read_body
from studio.access import audit
from studio.access.guard import actor, principal, project, requires
from studio.access.privileges import Privilege
from studio.context import context
from studio.database.tables import images
from studio.errors import Conflict, Invalid
from studio.images.archives import Entry, is_safe_name
from studio.images.grid import find_image_by_name
from studio.images.intake import Intake
from studio.images.orphans import remove_unneeded
from studio.images.remove import remove_images
from studio.images.thumbnails import look_at
from studio.routes.groups import Group
from studio.routes.images import MEDIA_TYPE_OF, file_response
from studio.routes.problems import BODY
from studio.routes.projects import new_project
from studio.routes.routes import Routes
from studio.routes.wire import DONE, JSON, In, Name, Out, PublicId, body, read_model

cloud = Routes("cloud", __name__, url_prefix="/api")

IMAGE = (Content("application/octet-stream", BINARY, "the image's bytes"),)


class CloudProjectName(In):
    name: Name


class ProjectId(Out):
    id: PublicId


class ImageName(Out):
    image: str = Field(description="its name")


@cloud.post("/project")
@requires(Privilege.CREATE_PROJECTS)
@described(Group.CLOUD, "Make a project", body=body(CloudProjectName, {"name": "Trash"}), problems=BODY)
def make_project() -> ProjectId:
    """Its id stands in the addresses of all other calls."""
    return ProjectId(id=new_project(read_model(CloudProjectName).name).id)


@cloud.get("/images/<project>")
@requires(Privilege.VIEW)
@described(
    Group.CLOUD, "The names of all images",
    answers={200: Answer("In order.", (Content(JSON, list[str], example=["a.jpg", "b.jpg"]),))},
)  # fmt: skip
def names(project: str) -> Response:
    """The whole list at once; `GET /studio/v1/projects/{project}/images` comes page by page."""
    with context().database.reading() as connection:
        own = select(images.c.name).where(images.c.project_id == this_project().id).order_by(images.c.name)
        return jsonify(list(connection.scalars(own)))


@cloud.post("/image/<project>/<path:image_name>")
@requires(Privilege.UPLOAD)
@described(
    Group.CLOUD, "Upload an image", body=IMAGE, example={"image": "a.jpg"},
    parameters=(Parameter("preprocess", "query", "Taken and not needed here: images are kept as they come, and made"
                          " smaller where they are used.", {"type": "string"}),),
    problems=("BODY_BROKEN", "BODY_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "VALUE_INVALID", "NAME_TAKEN", *IMAGE_CODES),
)  # fmt: skip
def upload(project: str, image_name: str) -> ImageName:
    """Under this name. The same image again changes nothing, whatever its name; another under the name is refused."""
    parts, name = context(), _name(image_name)
    data = read_body(request, parts.settings.max_image_bytes)
    look_at(data, parts.settings.image_limits)  # here, so that what is wrong with it is a problem
    intake = Intake(parts, this_project().id, principal().user_id, rename=False)
    (report,) = intake.take([Entry(name, data)])
    if report.outcome == "refused":
        raise Conflict(report.detail, report.code)
    return ImageName(image=report.stored_name or name)


@cloud.get("/image/<project>/<path:image_name>")
@requires(Privilege.VIEW)
@described(
    Group.CLOUD, "An image's bytes",
    answers={200: Answer("As they were uploaded.", tuple(Content(kind, BINARY) for kind in MEDIA_TYPE_OF.values()))},
)  # fmt: skip
def download(project: str, image_name: str) -> Response:
    """By its name."""
    with context().database.reading() as connection:
        row = find_image_by_name(connection, this_project().id, _name(image_name)).row
    response = file_response(context().originals, row.sha256, MEDIA_TYPE_OF[ImageFormat(row.format)])
    response.headers["Cache-Control"] = "no-cache"  # another image may have the name later
    return response


@cloud.delete("/image/<project>/<path:image_name>")
@requires(Privilege.REMOVE)
@described(Group.CLOUD, "Remove an image", answers=DONE)
def remove(project: str, image_name: str) -> Response:
    """By its name, for good."""
    parts, here = context(), this_project()
    with parts.database.writing() as connection:
        found = find_image_by_name(connection, here.id, _name(image_name))
        digests = remove_images(connection, here.id, [found.row.id])
        audit.record(connection, actor(), "images.removed", here.name, project_id=here.id, details={"images": 1})
    remove_unneeded(parts.database, (parts.originals, parts.thumbnails), digests)
    return Response(status=204)


this_project = project  # views have an argument of the name, as their addresses do


def _name(image_name: str) -> str:
    """With and without a slash at the end. Raises Invalid for a name that no image can have."""
    name = image_name.removesuffix("/")
    if not is_safe_name(name):
        raise Invalid("image name: expected a relative path of printable characters without '..'.")
    return name
