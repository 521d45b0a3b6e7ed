"""Predict with a trained model: images that are sent or stored, as JSON, a table or a zip; heatmaps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any, cast

from flask import Response, g, request, stream_with_context

from bundle.decode import decode_picture
from bundle.manifest import PreprocessSpec
from bundle.preprocess import crop_box, preprocess
from server.models.model import Prediction, ServedModel
from server.openapi.describe import BINARY, Answer, Content, described
from server.openapi.problems import IMAGE as IMAGE_CODES
from server.problems import Problem
from server.routes.answers import ImageProblem, NamedImageAnswer, RefusedImage, head, image_answer
from server.uploads import is_json, read_image
from studio.access.guard import principal, project, requires
from studio.access.privileges import Privilege
from studio.context import context
from studio.errors import Forbidden, Invalid, NotFound, TooMany
from studio.images.archives import Entry
from studio.images.grid import find_image
from studio.predict.access import models
from studio.predict.answering import Answered, answer_all, chosen_thresholds
from studio.predict.bundles import USUAL_S
from studio.predict.files import csv_header, csv_lines, csv_row, zip_of
from studio.predict.names import model_name, version_of
from studio.predict.occlusion import occlusion_map
from studio.predict.trained import Trained, find_trained
from studio.routes.groups import Group
from studio.routes.predict_documents import (
    ANSWER_EXAMPLE,
    Area,
    HeatmapAnswer,
    HeatmapQuery,
    LabelThreshold,
    ModelQuery,
    PredictAnswer,
    PredictQuery,
    PredictState,
    ReadyModel,
    Times,
)
from studio.routes.problems import BODY
from studio.routes.routes import Routes
from studio.routes.uploads import uploaded_entries
from studio.routes.wire import JSON, query, read_query
from trainer.run_folder import ModelChoice

predict = Routes("predict", __name__, url_prefix="/studio/v1/projects/<project>/models/<id:job>")

CSV, ZIP, RAW = "text/csv", "application/zip", "application/octet-stream"
WAIT_S = 30.0  # for a bundle that is made just now
FILE = {"type": "object", "properties": {"file": {"type": "array", "items": BINARY}}}
BODIES = (
    Content(RAW, BINARY, "one image"),
    Content("multipart/form-data", FILE, "files, among them archives"),
    Content(ZIP, BINARY, "an archive of images"),
)
TRAINED = ("JOB_NOT_FOUND", "NOT_TRAINED", "NOT_MEASURED")
PROBLEMS = (
    *TRAINED, "MODEL_NOT_FOUND", "MODELS_LOADING", "MODEL_NOT_LOADED", "ENGINE", *BODY, *IMAGE_CODES,
    "IMAGE_TOO_MANY_BYTES", "FORM_FILES", "UPLOAD_BROKEN", "PARAMETER_INVALID", "VALUE_INVALID", "TOO_MANY",
    "LABEL_NOT_FOUND",
)  # fmt: skip


@predict.get("/predict")
@requires(Privilege.PREDICT)
@described(
    Group.PREDICT, "How a model is asked", problems=TRAINED
)  # fmt: skip
def state(project: str, job: str) -> PredictState:
    """Whether its bundles are there, its labels with the thresholds that hold now, and its address for programs."""
    trained, settings = _trained(job), context().settings
    return PredictState(
        project=this_project().public_id,
        training=job,
        name=trained.row.name,
        model=model_name(trained.row.name),
        task=trained.task,
        address=settings.public_url,
        inference_api=settings.inference_api,
        models=[_ready(trained, choice) for choice in trained.statistics],
    )


@predict.post("/predict")
@requires(Privilege.PREDICT)
@described(
    Group.PREDICT, "Predict", parameters=query(PredictQuery), body=BODIES, body_required=False, problems=PROBLEMS,
    answers={200: Answer("In the order of the images.", (
        Content(JSON, PredictAnswer, example=ANSWER_EXAMPLE), Content(CSV, BINARY), Content(ZIP, BINARY),
    ))},
)  # fmt: skip
def predict_images(project: str, job: str) -> Response:
    """One image or many; of one that cannot be read, the problem stands in its place.

    The thresholds that were saved for the model hold, unless the query has others. A model that was not asked before is
    prepared first, which takes some seconds; where it takes longer, 503 says so.
    """
    asked = read_query(PredictQuery)
    with ExitStack() as open_:
        model = open_.enter_context(_leased(job, asked.choice))
        thresholds = chosen_thresholds(model.manifest, asked.threshold)
        if thresholds is not None:
            model = model.with_thresholds(thresholds)
        answered = answer_all(model, _entries(asked, open_))
        if asked.format == "json":
            return Response(_answer(model, asked, answered).model_dump_json(), content_type=JSON)
        if asked.format == "csv":
            rows = [csv_header(model.manifest), *(csv_row(model.manifest, one) for one in answered)]
            return _download("".join(csv_lines(rows)), CSV, f"{model.manifest.name}.csv")
        still_open = open_.pop_all()
        response = _download(
            stream_with_context(_until_closed(zip_of(model.manifest, answered), still_open)),
            ZIP, f"{model.manifest.name}.zip",
        )  # fmt: skip
        response.call_on_close(still_open.close)  # where a client is gone before the first byte
        return response


@predict.post("/heatmap")
@requires(Privilege.PREDICT)
@described(
    Group.PREDICT, "Where the evidence for a label lies", parameters=query(HeatmapQuery), body=BODIES[:1],
    body_required=False, problems=PROBLEMS,
)  # fmt: skip
def heatmap(project: str, job: str) -> HeatmapAnswer:
    """Parts of the image are covered, one after the other, and the model is asked how much the label loses (occlusion
    sensitivity). It takes seconds: of a slow model the map is coarser.
    """
    asked = read_query(HeatmapQuery)
    with ExitStack() as open_:
        model = open_.enter_context(_leased(job, asked.choice))
        labels = model.manifest.labels
        if asked.label and asked.label not in labels:
            raise NotFound(f"The model has no label {asked.label!r}.", "LABEL_NOT_FOUND")
        found = list(_entries(asked, open_))
        if len(found) != 1 or found[0].data is None:
            raise Invalid("heatmap: expected one image, as the body or as `image`.")
        data, limits, spec = found[0].data, context().settings.image_limits, model.manifest.preprocessing
        pixels = preprocess(data, spec, limits)
        label = asked.label or labels[int(model.infer_arrays(pixels[None])[0][0].argmax())]
        made = occlusion_map(model, pixels, labels.index(label), context().settings.heatmap_s)
        return HeatmapAnswer(
            label=label,
            probability=made.probability,
            values=[[float(f"{value:.4g}") for value in row] for row in made.values.tolist()],
            area=_area(data, spec),
            evaluations=made.evaluations,
            seconds=round(made.seconds, 2),
        )


this_project = project  # views have an argument of the name, as their addresses do


def _trained(job: str) -> Trained:
    with context().database.reading() as connection:
        return find_trained(connection, context().settings.jobs_folder, this_project().id, job)


def _ready(trained: Trained, choice: ModelChoice) -> ReadyModel:
    prepared = models().bundles.look(trained.row, choice)
    return ReadyModel(
        choice=choice,
        readiness=prepared.readiness.value,
        since_s=round(prepared.since_s, 1),
        usual_s=USUAL_S,
        detail=prepared.detail,
        version=version_of(trained.row.public_id, choice),
        labels=[LabelThreshold(label=label, threshold=value) for label, value in trained.thresholds(choice).items()],
    )


def _leased(job: str, choice: ModelChoice) -> AbstractContextManager[ServedModel]:
    """The model of this training. Raises NotFound, Conflict where it has none, and as `StudioModels.lease` does."""
    _trained(job)
    return models().lease((this_project().public_id,), job, WAIT_S, choice)


def _entries(asked: ModelQuery, open_: ExitStack) -> Iterator[Entry]:
    """Images of the project, or those of the body."""
    if asked.image:
        return _stored(asked.image)
    if request.mimetype in ("multipart/form-data", ZIP, "application/x-zip-compressed"):
        return _at_most(uploaded_entries(request, context().settings, open_))
    if is_json(request):
        raise Problem(
            415, "UNSUPPORTED_MEDIA_TYPE", "Expected an image's bytes, a form with files, or a zip archive; or `image`."
        )
    return iter([Entry("", read_image(request, context().settings.max_image_bytes))])


def _stored(ids: list[str]) -> Iterator[Entry]:
    if Privilege.VIEW not in this_project().privileges & principal().opened:
        raise Forbidden("To predict a stored image needs the privilege view too.", "PRIVILEGE_MISSING")
    with context().database.reading() as connection:
        rows = [find_image(connection, this_project().id, public_id).row for public_id in ids]
    return (_stored_file(row.name, row.sha256) for row in rows)


def _stored_file(name: str, digest: str) -> Entry:
    try:
        return Entry(name, context().originals.read(digest))
    except FileNotFoundError:
        return Entry(name, None, "NOT_FOUND", "The image was removed just now.")


def _at_most(entries: Iterator[Entry]) -> Iterator[Entry]:
    most = context().settings.max_predict_images
    for number, entry in enumerate(entries, 1):
        if number > most:
            raise TooMany(f"images: expected at most {most} in one request, found more. Send several requests.")
        yield entry


def _answer(model: ServedModel, asked: PredictQuery, answered: Iterator[Answered]) -> PredictAnswer:
    results: list[NamedImageAnswer | RefusedImage] = []
    decode_ms = inference_ms = 0.0
    for one in answered:
        result: dict[str, Any]
        if isinstance(one.answer, Prediction):
            result = dict(image_answer(one.answer, asked.top))
            decode_ms += one.answer.decode_ms
            inference_ms += one.inference_ms
        else:
            problem: ImageProblem = {
                "status": int(one.answer.status), "code": one.answer.code, "detail": one.answer.detail,
            }  # fmt: skip
            result = {"problem": problem}
        results.append(cast(NamedImageAnswer, result | ({"name": one.name} if one.name else {})))
    known = head(model)
    return PredictAnswer(
        project=known["project"],
        model=known["model"],
        version=known["version"],
        task=known["task"],
        choice=asked.choice,
        results=results,
        timings_ms=Times(decode=round(decode_ms, 2), inference=round(inference_ms, 2)),
        request_id=g.request_id,
    )


def _download(body: str | Iterator[bytes], kind: str, name: str) -> Response:
    return Response(body, content_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _until_closed(parts: Iterator[bytes], open_: ExitStack) -> Iterator[bytes]:
    with open_:
        yield from parts


def _area(data: bytes, spec: PreprocessSpec) -> Area:
    if spec.resize == "squash":
        return Area(left=0, top=0, right=1, bottom=1)
    picture = decode_picture(data, context().settings.image_limits)
    left, top, right, bottom = crop_box(picture.height, picture.width, spec)
    return Area(
        left=left / picture.width, top=top / picture.height, right=right / picture.width, bottom=bottom / picture.height
    )
