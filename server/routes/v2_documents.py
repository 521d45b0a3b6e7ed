"""The documents of the Open Inference Protocol and of Triton's extensions to it, as far as they have a meaning here."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

Datatype = Literal["BYTES", "UINT8", "FP32"]
ConfigType = Literal["TYPE_STRING", "TYPE_UINT8", "TYPE_FP32"]
Count = Annotated[int, Field(ge=0)]


class ServerMetadata(TypedDict):
    name: Literal["onsight"]
    version: str
    extensions: list[str]


class V2Live(TypedDict):
    live: Literal[True]


class V2Ready(TypedDict):
    ready: bool


class ModelReady(TypedDict):
    name: str
    version: str
    ready: bool


class TensorMetadata(TypedDict):
    name: str
    datatype: Datatype
    shape: Annotated[list[int], Field(description="-1: any number of images")]


class ModelMetadata(TypedDict):
    name: str
    versions: Annotated[list[str], Field(description="those that serve, highest first")]
    platform: str
    inputs: Annotated[list[TensorMetadata], Field(description="send one of them")]
    outputs: list[TensorMetadata]


class TensorConfig(TypedDict):
    name: str
    data_type: ConfigType
    dims: Annotated[list[int], Field(description="without the batch")]


class Latest(TypedDict):
    num_versions: int


class VersionPolicy(TypedDict):
    latest: Latest


class ConfigParameter(TypedDict):
    string_value: str


class ModelConfig(TypedDict):
    """Triton's configuration, as far as it has a meaning here."""

    name: str
    platform: str
    backend: str
    max_batch_size: Annotated[int, Field(description="images in one request")]
    version_policy: VersionPolicy
    input: list[TensorConfig]
    output: list[TensorConfig]
    parameters: Annotated[dict[str, ConfigParameter], Field(description="`labels`: the list of labels as JSON text")]


class Duration(TypedDict):
    """How often, and for how many nanoseconds in all."""

    count: Count
    ns: Count


class InferenceStatistics(TypedDict):
    """fail: refused or failed; its time is not measured.  compute_output: within compute_infer."""

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration
    cache_miss: Duration


class ModelStatistics(TypedDict):
    """Of all workers, since the server was started."""

    name: str
    version: str
    last_inference: Annotated[Count, Field(description="milliseconds since 1970; 0: none yet")]
    inference_count: Annotated[Count, Field(description="images")]
    execution_count: Annotated[Count, Field(description="requests or batches computed")]
    inference_stats: InferenceStatistics
    batch_stats: Annotated[list[Any], Field(description="always empty", max_length=0)]


class Statistics(TypedDict):
    model_stats: list[ModelStatistics]


Parameters = dict[str, Any]


class RequestInput(TypedDict):
    """One input. data: row-major, nested or flat; or, behind the JSON, `parameters.binary_data_size` raw bytes."""

    name: Annotated[str, Field(description="`image`, or the name of the model's input")]
    datatype: Literal["BYTES", "UINT8"]
    shape: Annotated[list[Annotated[int, Field(ge=1, le=65_536)]], Field(min_length=1, max_length=4)]
    data: NotRequired[list[Any]]
    parameters: NotRequired[Parameters]


class RequestOutput(TypedDict):
    """One output that is wanted. parameters: `binary_data`, and `classification` for the best so many classes."""

    name: Annotated[str, Field(description="`probabilities`, `logits` or `decision`")]
    parameters: NotRequired[Parameters]


class InferDocument(TypedDict):
    """outputs: all of them where none is named.  parameters: `binary_data_output` for binary ones by default."""

    inputs: Annotated[list[RequestInput], Field(min_length=1, max_length=1)]
    outputs: NotRequired[Annotated[list[RequestOutput], Field(max_length=8)]]
    id: NotRequired[Annotated[str, Field(max_length=256)]]
    parameters: NotRequired[Parameters]


class BinarySize(TypedDict):
    binary_data_size: Count


class AnswerOutput(TypedDict):
    """One output, its data in row-major order, or as raw bytes behind the JSON."""

    name: str
    datatype: Datatype
    shape: list[int]
    data: NotRequired[list[Any]]
    parameters: NotRequired[BinarySize]


class InferAnswer(TypedDict):
    model_name: str
    model_version: str
    id: str
    outputs: list[AnswerOutput]


class IndexEntry(TypedDict):
    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str
