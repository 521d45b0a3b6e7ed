"""What a server answers, as frozen objects: predictions, models, health. Each turns into a plain dict.

Fields that a newer server adds are passed over; one that is missing raises KeyError, TypeError or ValueError, which the
caller turns into its own error.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

from onsight.client.errors import ClientError

Document = dict[str, Any]


class AsDict:
    """Gives a frozen dataclass `as_dict()`."""

    __slots__ = ()

    def as_dict(self) -> Document:
        """The fields by name, nested ones too; ready for `json.dumps`."""
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]


@dataclass(frozen=True, slots=True)
class Score(AsDict):
    """One label's score. probability, threshold: in [0, 1].  above: the probability reaches the threshold."""

    label: str
    probability: float
    threshold: float
    above: bool

    @classmethod
    def from_answer(cls, document: Document) -> Self:
        return cls(
            document["label"], float(document["probability"]), float(document["threshold"]), bool(document["above"])
        )


@dataclass(frozen=True, slots=True)
class Timings(AsDict):
    """Milliseconds in the server: waiting for its turn, decoding, inference, and all of it."""

    queue_ms: float
    decode_ms: float
    inference_ms: float
    total_ms: float

    @classmethod
    def from_answer(cls, document: Document) -> Self:
        return cls(*(float(document[name]) for name in ("queue", "decode", "inference", "total")))


@dataclass(frozen=True, slots=True)
class Prediction(AsDict):
    """What a model says of one image.

    labels: claimed, most probable first; none where the image is unknown or no label reaches its threshold.
    unknown: it is unlike everything that the model was trained on.  scores: most probable first.
    request_id: under which the server's log has the request.
    """

    labels: tuple[str, ...]
    unknown: bool
    scores: tuple[Score, ...]
    project: str
    model: str
    version: str
    task: str
    timings: Timings
    request_id: str

    @property
    def best(self) -> Score:
        """The most probable label's score, whether claimed or not."""
        return self.scores[0]

    @classmethod
    def from_answer(cls, document: Document) -> Self:
        return cls(
            labels=tuple(document["labels"]),
            unknown=bool(document["unknown"]),
            scores=tuple(Score.from_answer(score) for score in document["scores"]),
            project=document["project"],
            model=document["model"],
            version=document["version"],
            task=document["task"],
            timings=Timings.from_answer(document["timings_ms"]),
            request_id=document["request_id"],
        )


@dataclass(frozen=True, slots=True)
class ImageResult:
    """One image of many. index: its place, from 0.  name: its path or the file's name, "" for bytes and pixels.

    Either `prediction` or `error` is set: an image that cannot be read, or that the server refuses, is a result too.
    """

    index: int
    name: str
    prediction: Prediction | None = None
    error: ClientError | None = None

    def as_dict(self) -> Document:
        """index and name, and then the prediction's fields, or `error` and `code`."""
        if self.prediction is not None:
            return {"index": self.index, "name": self.name, **self.prediction.as_dict()}
        assert self.error is not None
        return {"index": self.index, "name": self.name, "error": str(self.error), "code": self.error.code}


@dataclass(frozen=True, slots=True)
class ModelSummary(AsDict):
    """A model that serves. bundle: its file's name.  providers: what runs it, e.g. CPUExecutionProvider.

    device, library, precision: where, by whose code and in which form; "" from a server that does not say.
    """

    project: str
    name: str
    version: str
    task: str
    state: str
    bundle: str
    label_count: int
    providers: tuple[str, ...]
    device: str = ""
    library: str = ""
    precision: str = ""

    @classmethod
    def from_answer(cls, document: Document) -> Self:
        return cls(
            project=document["project"],
            name=document["name"],
            version=document["version"],
            task=document["task"],
            state=document["state"],
            bundle=document["bundle"],
            label_count=int(document["label_count"]),
            providers=tuple(document["providers"]),
            device=document.get("device", ""),
            library=document.get("library", ""),
            precision=document.get("precision", ""),
        )


@dataclass(frozen=True, slots=True)
class LabelThreshold(AsDict):
    """A label, and the probability in [0, 1] from which it is claimed."""

    label: str
    threshold: float


@dataclass(frozen=True, slots=True)
class ModelDescription(AsDict):
    """Everything about one model.

    preprocessing, calibration, unknown, metrics: as in the bundle's manifest; metrics by split and name, each with
    `value`, `low`, `high` (95 %).  golden_difference: the largest difference of a probability when the server replayed
    the bundle's golden images.  bundle_sha256, key_id: which bundle this is, and whose key signed it.
    """

    summary: ModelSummary
    labels: tuple[LabelThreshold, ...]
    created_at: str
    preprocessing: Document
    calibration: Document
    unknown: Document | None
    metrics: dict[str, Document]
    golden_difference: float
    model_id: str
    bundle_sha256: str
    key_id: str

    @classmethod
    def from_answer(cls, document: Document) -> Self:
        return cls(
            summary=ModelSummary.from_answer(document),
            labels=tuple(LabelThreshold(each["label"], float(each["threshold"])) for each in document["labels"]),
            created_at=document["created_at"],
            preprocessing=dict(document["preprocessing"]),
            calibration=dict(document["calibration"]),
            unknown=None if document["unknown"] is None else dict(document["unknown"]),
            metrics=dict(document["metrics"]),
            golden_difference=float(document["golden_difference"]),
            model_id=document["model_id"],
            bundle_sha256=document["bundle_sha256"],
            key_id=document["key_id"],
        )


@dataclass(frozen=True, slots=True)
class ReadyModel(AsDict):
    """A model that answers. provider: what runs it.  device: where; "" from a server that does not say."""

    project: str
    name: str
    version: str
    provider: str
    device: str = ""


@dataclass(frozen=True, slots=True)
class Health(AsDict):
    """ready: predictions are welcome.  status: "ready", or why not: "loading", "draining", "no_models", ...

    failed_bundles: how many do not serve; the server's log and `GET /v1/models` say why.
    """

    ready: bool
    status: str
    models: tuple[ReadyModel, ...]
    failed_bundles: int

    @classmethod
    def from_answer(cls, http_status: int, document: Document) -> Self:
        models = tuple(
            ReadyModel(each["project"], each["name"], each["version"], each["provider"], each.get("device", ""))
            for each in document["models"]
        )
        return cls(http_status == 200, str(document["status"]), models, len(document.get("failed", ())))
