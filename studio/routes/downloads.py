"""Download what was exported: the bundle, the key that signed it, and how it gets to work on another machine."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Any

from flask import Response, request, send_file
from pydantic import Field

from bundle.home import OnsightHome
from bundle.manifest import Precision
from licenses.errors import EXIT_CODES
from server.openapi.describe import BINARY, TEXT, Answer, Content, Parameter, described
from studio.access import audit
from studio.access.guard import actor, project, requires
from studio.access.privileges import Privilege
from studio.context import context
from studio.downloads.exported import Exported, find_exported, license_refusal
from studio.downloads.instructions import KEY_FILE, as_markdown, targets_for
from studio.routes.groups import Group
from studio.routes.routes import Routes
from studio.routes.wire import Out, PublicId

downloads = Routes("downloads", __name__, url_prefix="/studio/v1/projects/<project>/exports/<id:job>")

BUNDLE = "application/vnd.onsight.bundle"
MARKDOWN = "text/markdown; charset=utf-8"
RANGE = Parameter("Range", "header", "A part of the file, so that a broken download goes on.", TEXT, "bytes=1000000-")
EXPORTED = ("JOB_NOT_FOUND", "NOT_EXPORTED")
LICENCE = tuple(sorted(EXIT_CODES))


class Measured(Out):
    """What a smaller or faster form keeps of full precision's answers, on images that it was not made with."""

    metric: str
    value: float
    full: float = Field(description="of full precision, on the same images")
    agreement: float = Field(description="share of answers that are the same")
    images: int


class Form(Out):
    name: str
    precision: Precision
    bytes: int
    measured: Measured | None = Field(description="null for full precision, which is proven otherwise")


class Licence(Out):
    issuer: str = Field(description="whose licence the bundle demands where it serves")
    may_download: bool = Field(description="whether a licence of this install lets it go")
    code: str = Field(description="why not, for programs; else empty")
    detail: str = Field(description="why not, and what to do")


class Step(Out):
    text: str
    commands: list[str]


class Target(Out):
    id: str
    title: str
    needs: str
    steps: list[Step]


class ExportedBundle(Out):
    id: PublicId
    training: PublicId
    file_name: str
    key_file_name: str = Field(description="of the maker's public key, which the target needs as well")
    name: str
    version: str
    labels: list[str]
    bytes: int
    sha256: str = Field(description="of the file")
    key_id: str = Field(description="of who signed it")
    forms: list[Form] = Field(description="full precision first")
    licence: Licence | None = Field(description="null where the bundle demands none")
    targets: list[Target] = Field(description="how it is installed")


@downloads.get("")
@requires(Privilege.DOWNLOAD)
@described(Group.DOWNLOAD, "A finished export", problems=EXPORTED)
def bundle(project: str, job: str) -> ExportedBundle:
    """What is in the bundle, whether a licence lets it go, and the commands that install it."""
    found = _found(job)
    manifest = found.manifest
    sizes = {file.name: file.size for file in manifest.files}
    targets = targets_for(manifest, found.file_name, found.sha256, found.key.key_id)
    return ExportedBundle(
        id=job,
        training=found.row.input["training"],
        file_name=found.file_name,
        key_file_name=KEY_FILE,
        name=manifest.name,
        version=manifest.version,
        labels=list(manifest.labels),
        bytes=found.bytes,
        sha256=found.sha256,
        key_id=found.key.key_id,
        forms=[
            Form(
                name=variant.name,
                precision=variant.precision,
                bytes=sizes[variant.file],
                measured=None if variant.certificate is None else Measured(
                    metric=variant.certificate.metric, value=variant.certificate.value, full=variant.certificate.full,
                    agreement=variant.certificate.agreement, images=variant.certificate.images,
                ),
            )
            for variant in manifest.variants
        ],
        licence=_licence(found),
        targets=[Target.model_validate(asdict(target)) for target in targets],
    )  # fmt: skip


@downloads.get("/file")
@requires(Privilege.DOWNLOAD)
@described(
    Group.DOWNLOAD, "The bundle", parameters=(RANGE,),
    answers={
        200: Answer("The file, with its SHA-256 in `Repr-Digest` and as ETag.", (Content(BUNDLE, BINARY),)),
        206: Answer("The part that was asked for.", (Content(BUNDLE, BINARY),)),
        304: Answer("Unchanged."),
    },
    problems=(*EXPORTED, *LICENCE, "RANGE_INVALID"),
)  # fmt: skip
def file(project: str, job: str) -> Response:
    """One that demands a licence goes where this install holds one of its issuer that allows `download`."""
    found = _found(job)
    refusal = license_refusal(found, _home())
    if refusal is not None:
        raise refusal
    response = send_file(
        found.path, BUNDLE, as_attachment=True, download_name=found.file_name, etag=found.sha256, conditional=True
    )
    if response.status_code in (200, 206) and request.method == "GET":
        details = {"export": job, "bundle": found.file_name, "sha256": found.sha256}
        if response.status_code == 206:  # told as well: a first part that is all but a byte is a download
            details["part"] = response.headers["Content-Range"]
        with context().database.writing() as connection:
            here = this_project()
            audit.record(
                connection, actor(), "model.downloaded", found.row.name, project_id=here.id, details=details
            )  # fmt: skip
    digest = base64.b64encode(bytes.fromhex(found.sha256)).decode()
    response.headers["Repr-Digest"] = f"sha-256=:{digest}:"
    response.headers["Cache-Control"] = "private, no-cache"
    return response


@downloads.get("/key")
@requires(Privilege.DOWNLOAD)
@described(
    Group.DOWNLOAD, "The key that signed it", answers={200: Answer("PEM.", (Content("application/x-pem-file", TEXT),))},
    problems=EXPORTED,
)  # fmt: skip
def key(project: str, job: str) -> Response:
    """For `onsight trust add` where the bundle is to serve."""
    return _attachment(_found(job).key.to_pem(), "application/x-pem-file", KEY_FILE)


@downloads.get("/instructions")
@requires(Privilege.DOWNLOAD)
@described(
    Group.DOWNLOAD, "How to install it", answers={200: Answer("Markdown.", (Content("text/markdown", TEXT),))},
    problems=EXPORTED,
)  # fmt: skip
def instructions(project: str, job: str) -> Response:
    """For every kind of target, with exact commands."""
    found = _found(job)
    targets = targets_for(found.manifest, found.file_name, found.sha256, found.key.key_id)
    return _attachment(as_markdown(found.manifest, found.file_name, targets).encode(), MARKDOWN, "INSTALL.md")


this_project = project  # views have an argument of the name, as their addresses do


def _home() -> OnsightHome:
    return OnsightHome(context().settings.home)


def _found(job: str) -> Exported:
    with context().database.reading() as connection:
        return find_exported(connection, _home(), context().settings.jobs_folder, this_project().id, job)


def _licence(found: Exported) -> Licence | None:
    demand = found.manifest.license
    if demand is None:
        return None
    refusal = license_refusal(found, _home())
    code, detail = ("", "") if refusal is None else (refusal.code, str(refusal))
    return Licence(issuer=demand.issuer, may_download=refusal is None, code=code, detail=detail)


def _attachment(data: bytes, media_type: str, name: str) -> Response:
    headers: dict[str, Any] = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, content_type=media_type, headers=headers)
