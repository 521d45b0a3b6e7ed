"""Every setting of the studio, in one frozen class; `docs/configuration.md` is generated from it.

Built once by the command line (environment, then its own options on top) and passed in; never read at import.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bundle.image_limits import ImageLimits

MIB = 1024 * 1024


class StudioSettings(BaseSettings):
    """Settings of `onsight studio`: environment variables ONSIGHT_STUDIO_ and the name in capitals, but for the two
    that have their own name.
    """

    model_config = SettingsConfigDict(
        env_prefix="ONSIGHT_STUDIO_", frozen=True, extra="forbid", validate_default=True, populate_by_name=True
    )

    home: Path = Field(
        default=Path("~/.onsight"),
        validation_alias="ONSIGHT_HOME",
        description="Folder of this install; the studio keeps its own below `studio/`.",
    )
    database_url: str | None = Field(
        default=None,
        validation_alias="ONSIGHT_DATABASE_URL",
        description="The database: `postgresql://user:password@host/name`, or `sqlite:////absolute/path`. Default:"
        " SQLite in the home. PostgreSQL needs the extra `postgres`.",
    )
    images_url: str | None = Field(
        default=None,
        description="Where image files lie: a folder, or an address that fsspec knows, such as `s3://bucket/images`"
        " (which needs the package `s3fs`). Default: a folder in the home.",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8080, ge=1, le=65535, description="TCP port to listen on.")
    url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/\s]+$",
        description="How people reach the studio, for links: `https://studio.example.org`. With `https` cookies are"
        " sent over TLS alone. Default: host and port, by HTTP.",
    )
    trusted_proxies: int = Field(
        default=0,
        ge=0,
        le=16,
        description="Proxies before the studio, each of which adds whom it heard from to `X-Forwarded-For`. So many"
        " entries from its end are believed when wrong passwords are counted by address, and in the audit log.",
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Server processes. One with many threads is enough for most; more need PostgreSQL to be of use.",
    )
    threads: int = Field(
        default=16, ge=2, le=256, description="Requests that each process answers at once; an upload holds one."
    )
    session_days: int = Field(
        default=14, ge=1, le=365, description="Days without a visit after which one signs in again."
    )
    link_hours: int = Field(
        default=72, ge=1, le=720, description="Hours that a link for a first or a new password may be used."
    )
    max_image_bytes: int = Field(
        default=64 * MIB,
        ge=1024,
        le=1024 * MIB,
        description="Largest image file; a larger one is left out of an upload.",
    )
    max_image_pixels: int = Field(
        default=40_000_000,
        ge=1024,
        le=1_000_000_000,
        description="Largest image in pixels, read from its header before it is decoded.",
    )
    max_upload_bytes: int = Field(
        default=20 * 1024 * MIB, ge=MIB, description="Largest upload, an archive for example; a larger one gets 413."
    )
    max_unpacked_bytes: int = Field(
        default=100 * 1024 * MIB, ge=MIB, description="Bytes that one archive may unpack to, all its files together."
    )
    max_archive_files: int = Field(
        default=500_000, ge=1, le=10_000_000, description="Files in one archive; an archive with more is refused."
    )
    inference_api: bool = Field(
        default=True,
        description="Answer the inference server's calls (`/v1`, `/v2`, `/api/predict`, `/api/pm-predict`) for the"
        " projects' models, to tokens of the scope `predict`.",
    )
    models_kept: int = Field(
        default=4, ge=1, le=1000, description="Models that each process keeps in memory to predict with."
    )
    max_predict_images: int = Field(
        default=1000, ge=1, le=100_000, description="Images in one request for predictions; one more gets 413."
    )
    heatmap_s: float = Field(
        default=8.0, gt=0, le=600, description="Seconds that a heatmap may take; a slower model gets a coarser one."
    )
    job_workers: int = Field(
        default=1,
        ge=0,
        le=64,
        description="Trainings that run at once, each in a worker that the studio keeps running, beside one for"
        " exports. 0: none; run `onsight studio worker` yourself.",
    )
    index_images: bool = Field(
        default=True,
        description="After uploads, read what the built-in network sees in the images: similar ones are then found at"
        " once, and trainings need not read them again.",
    )
    job_silence_s: int = Field(
        default=60,
        ge=2,
        le=3600,
        description="Seconds without a sign of life from a worker after which another takes its job over.",
    )
    pages_folder: Path | None = Field(
        default=None, description="Folder of the built pages. Default: those that came with the package."
    )
    log_format: Literal["text", "json"] = Field(default="text", description="`json` writes one object a line.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level that is written to the log."
    )

    @field_validator("home")
    @classmethod
    def _expand_home(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @field_validator("host")
    @classmethod
    def _strip_brackets(cls, host: str) -> str:
        return host[1:-1] if host.startswith("[") and host.endswith("]") else host

    @property
    def folder(self) -> Path:
        """The studio's own folder in the home."""
        return self.home / "studio"

    @property
    def incoming_folder(self) -> Path:
        """Uploads on their way; whatever lies here when the studio starts is left over from a crash."""
        return self.folder / "incoming"

    @property
    def jobs_folder(self) -> Path:
        """A folder for each job; all workers of one studio see the same."""
        return self.folder / "jobs"

    @property
    def sqlalchemy_url(self) -> str:
        url = self.database_url or f"sqlite:///{self.folder / 'studio.sqlite3'}"
        for plain in ("postgresql://", "postgres://"):  # what every other program calls it
            if url.startswith(plain):
                return "postgresql+psycopg://" + url.removeprefix(plain)
        return url

    @property
    def public_url(self) -> str:
        """Where people reach the studio, without a slash at the end."""
        if self.url is not None:
            return self.url
        host = "localhost" if self.host in ("0.0.0.0", "::", "127.0.0.1") else self.host  # noqa: S104 - only compared
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def image_limits(self) -> ImageLimits:
        return ImageLimits(max_bytes=self.max_image_bytes, max_pixels=self.max_image_pixels)
