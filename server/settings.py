"""Every setting of the server, in one frozen class; `docs/configuration.md` is generated from it.

Built once by the command line (environment, then its own options on top) and passed in; never read at import.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bundle.cores import usable_cores
from server.engines.providers import CPU, ONNX_RUNTIME_TENSORRT, SHORT_NAMES


class ServerSettings(BaseSettings):
    """Settings of `onsight serve`. Each may be given as an environment variable: ONSIGHT_ and the name in capitals."""

    model_config = SettingsConfigDict(env_prefix="ONSIGHT_", frozen=True, extra="forbid", validate_default=True)

    home: Path = Field(
        default=Path("~/.onsight"),
        description="Folder of this install: trusted keys, tokens, caches.",
    )
    models_dir: Path = Field(
        default=Path("models"),
        description="Folder of bundles: `*.onsight` serve under the project `default`, `<project>/*.onsight` under"
        " `<project>`. Of several versions of a model the highest that loads is served.",
    )
    serve_versions: Literal["latest", "all"] = Field(
        default="latest",
        description="`all` loads every version of every model; the highest answers where a request names none.",
    )
    watch_interval_s: float = Field(
        default=2.0,
        ge=0,
        le=3600,
        description="Seconds between looks at the models folder; 0 looks on SIGHUP or on request alone.",
    )
    keep_last_good: bool = Field(
        default=True,
        description="Keep a copy of each bundle that served, below the home, so that a bad file put in its place leaves"
        " the model serving, also after a restart.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on. Beyond loopback the server starts only when at least one token exists.",
    )
    port: int = Field(default=8000, ge=1, le=65535, description="TCP port to listen on.")
    tls_certificate: Path | None = Field(
        default=None,
        description="PEM file of the server's certificate, with its chain: the port then speaks HTTPS alone."
        " A renewed file is taken up without a restart.",
    )
    tls_key: Path | None = Field(default=None, description="PEM file of the certificate's private key.")
    workers: int | None = Field(
        default=None,
        ge=1,
        le=512,
        description="Server processes, each with its own copy of the models. Default: one for each usable core.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Predictions that each worker computes at once; the others wait in order. Default: one, since the"
        " workers already use every core; eight where they wait for an engine process, so that there is a batch.",
    )
    max_queue: int = Field(
        default=64,
        ge=1,
        le=100_000,
        description="Predictions that may wait in each worker; one more gets 429 and is told when to try again.",
    )
    request_timeout_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="Seconds that a request may wait for its turn, and for an engine process, before it gets 503 in"
        " place of an answer.",
    )
    max_connections: int = Field(
        default=4096,
        ge=16,
        le=1_000_000,
        description="Connections that each worker keeps open; the one idle for longest makes room for a new one.",
    )
    max_buffered_bytes: int = Field(
        default=256 * 1024 * 1024,
        ge=1024 * 1024,
        description="Bytes of requests on their way that each worker holds in memory; beyond it, uploads wait, all but"
        " the fastest.",
    )
    providers: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(CPU,),
        description="What runs models, in order of preference, separated by commas: `cpu` and `cuda` (ONNX Runtime),"
        " `tensorrt` (NVIDIA TensorRT itself), or the name of another execution provider of ONNX Runtime. A model that"
        " would not run on the first of them is not served, unless ONSIGHT_PROVIDER_FALLBACK says otherwise.",
    )
    provider_fallback: bool = Field(
        default=False,
        description="Serve on a later provider of the list what the earlier ones cannot run. What really runs shows in"
        " `/health/ready`, `/v1/models` and `/metrics`.",
    )
    precision: Literal["auto", "fp32", "fp16", "int8"] = Field(
        default="auto",
        description="Which form of a model serves. `auto`: of full precision and the variants that are certified for"
        " what really runs it, the one that a few timed images at loading find fastest. `fp32`: full precision alone."
        " `fp16`, `int8`: that precision alone; a bundle without a certified variant of it, made for what runs models"
        " here, does not serve.",
    )
    intra_op_threads: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Threads of one inference. One is the fastest on a busy CPU: the workers already use every core.",
    )
    arrangement: Literal["auto", "in_process", "engine_process"] = Field(
        default="auto",
        description="Where models run. `in_process`: in each worker, the fastest on a CPU. `engine_process`: in one"
        " supervised process a device, which the workers hand decoded images in shared memory. `auto`: by the first"
        " provider, `in_process` for `cpu`, else `engine_process`.",
    )
    devices: Annotated[tuple[int, ...], NoDecode] = Field(
        default=(0,),
        description="Devices to run on, separated by commas: one engine process each, requests go to the least busy."
        " Numbers count within CUDA_VISIBLE_DEVICES where that is set.",
    )
    queue_slots: int = Field(
        default=128,
        ge=1,
        le=4096,
        description="Images that each worker may have at each engine process at once; one more gets 429 unless there is"
        " room in a moment.",
    )
    batch_sizes: Annotated[tuple[int, ...] | None, NoDecode] = Field(
        default=None,
        description="Sizes of the batches that are run, ascending, separated by commas. In an engine process an"
        " accelerator runs these sizes alone (default 1,8,32,64) and fills up to the next; a CPU runs any up to the"
        " last (default 1). A TensorRT engine is built for the range from one image to the last size. No request waits"
        " for a batch to grow.",
    )
    engine_cache_bytes: int = Field(
        default=20 * 1024**3,
        ge=0,
        description="Disk that built TensorRT engines may take, below the home; those used longest ago go first. 0"
        " keeps none: each start builds them again.",
    )
    engine_timeout_s: float = Field(
        default=10.0,
        ge=1,
        le=3600,
        description="Seconds without progress after which an engine process is ended and started again. Loading a model"
        " may take longer.",
    )
    max_image_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=1024,
        le=1024 * 1024 * 1024,
        description="Largest image accepted, in bytes; a larger one gets 413.",
    )
    max_request_bytes: int = Field(
        default=128 * 1024 * 1024,
        ge=1024,
        le=2 * 1024 * 1024 * 1024,
        description="Largest request with many images, in bytes; a larger one gets 413.",
    )
    max_images_per_request: int = Field(
        default=64, ge=1, le=4096, description="Most images in one request; one more gets 413."
    )
    max_image_pixels: int = Field(
        default=40_000_000,
        ge=1024,
        le=1_000_000_000,
        description="Largest image accepted, in pixels, read from its header before it is decoded; a larger one gets"
        " 422.",
    )
    allow_anonymous_loopback: bool = Field(
        default=False,
        description="Let programs on this machine predict without a token. Requests that came through a proxy, or were"
        " started by a foreign web page, still need one.",
    )
    load_wait_s: float = Field(
        default=30.0,
        ge=0,
        le=600,
        description="Seconds that a prediction waits for the models to finish loading before it gets 503.",
    )
    worker_timeout_s: int = Field(
        default=120,
        ge=5,
        le=3600,
        description="Seconds without a sign of life after which a worker is replaced.",
    )
    client_timeout_s: float = Field(
        default=15.0,
        gt=0,
        le=3600,
        description="Seconds that a client may fall silent within a request, or leave its answer unread, before the"
        " connection is dropped.",
    )
    keepalive_s: int = Field(
        default=15, ge=0, le=3600, description="Seconds that an idle connection is kept open for the next request."
    )
    drain_s: float = Field(
        default=2.0,
        ge=0,
        le=300,
        description="Seconds between SIGTERM, when readiness turns 503, and the closing of the port: time for a load"
        " balancer to look away.",
    )
    graceful_timeout_s: int = Field(
        default=25,
        ge=1,
        le=600,
        description="Seconds that running requests get to finish after the port is closed.",
    )
    otlp_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^/\s]+/?$",
        description="Address of an OpenTelemetry collector that takes OTLP over HTTP, such as `http://localhost:4318`:"
        " spans of requests go there. Without it nothing is sent to anybody. Needs the extra `telemetry`.",
    )
    log_format: Literal["text", "json"] = Field(default="text", description="`json` writes one object a line.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level that is written to the log."
    )

    @field_validator("home", "models_dir", "tls_certificate", "tls_key")
    @classmethod
    def _expand_home(cls, path: Path | None) -> Path | None:
        return path and path.expanduser()

    @field_validator("host")
    @classmethod
    def _strip_brackets(cls, host: str) -> str:
        return host[1:-1] if host.startswith("[") and host.endswith("]") else host

    @field_validator("providers", mode="before")
    @classmethod
    def _split_providers(cls, value: Any) -> Any:
        names = [name.strip() for name in value.split(",")] if isinstance(value, str) else list(value)
        return tuple(SHORT_NAMES.get(name.lower(), name) for name in names if name)

    @field_validator("devices", "batch_sizes", mode="before")
    @classmethod
    def _split_numbers(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _sensible_numbers(self) -> Self:
        if not self.devices or len(set(self.devices)) < len(self.devices) or min(self.devices) < 0:
            raise ValueError(f"devices: expected different numbers from 0 on, found {list(self.devices)}")
        sizes = self.batch_sizes
        if sizes is not None and (not sizes or list(sizes) != sorted(set(sizes)) or sizes[0] < 1 or sizes[-1] > 1024):
            raise ValueError(f"batch_sizes: expected ascending numbers from 1 to 1024, found {list(sizes)}")
        return self

    @model_validator(mode="after")
    def _some_provider(self) -> Self:
        if not self.providers:
            raise ValueError("providers: expected at least one, for example cpu")
        if ONNX_RUNTIME_TENSORRT in self.providers:
            raise ValueError(f"providers: expected `tensorrt`, which is TensorRT itself, found {ONNX_RUNTIME_TENSORRT}")
        if len(self.devices) > 1 and not self.uses_engine_processes:
            raise ValueError(
                f"devices: expected one where models run in the workers, found {list(self.devices)}; each device needs"
                " a process of its own: set arrangement to engine_process"
            )
        return self

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Self:
        if (self.tls_certificate is None) is not (self.tls_key is None):
            raise ValueError("tls_certificate, tls_key: expected both or neither, found one")
        return self

    @property
    def worker_count(self) -> int:
        return self.workers or usable_cores()

    @property
    def uses_engine_processes(self) -> bool:
        if self.arrangement == "auto":
            return self.providers[0] != CPU
        return self.arrangement == "engine_process"

    @property
    def thread_count(self) -> int:
        return self.threads or (8 if self.uses_engine_processes else 1)

    @property
    def gpu_count(self) -> int:
        """Devices that models run on, beside the CPU."""
        return 0 if set(self.providers) == {CPU} else len(self.devices)

    @property
    def listens_on_loopback_only(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False  # a name that may lead anywhere

    @property
    def url(self) -> str:
        """Where a person on this machine reaches the server."""
        host = "localhost" if self.host in ("0.0.0.0", "::", "127.0.0.1") else self.host  # noqa: S104 - only compared
        scheme = "http" if self.tls_certificate is None else "https"
        return f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"
