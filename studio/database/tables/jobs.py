"""Jobs, whose row is the truth about them, and the versions of a project's data set that they were given."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from studio.database.metadata import Id, Instant, id_column, metadata, public_id_column

datasets = Table(
    "datasets",
    metadata,
    id_column(),
    public_id_column(),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("sha256", String(64), nullable=False),  # of the content before it is packed
    Column("image_count", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),  # studio.jobs.dataset
    UniqueConstraint("project_id", "sha256"),
)

jobs = Table(
    "jobs",
    metadata,
    id_column(),  # the queue's order
    public_id_column(),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Id, ForeignKey("users.id", ondelete="SET NULL"), nullable=True),
    Column("dataset_id", Id, ForeignKey("datasets.id"), nullable=True),  # of a training
    Column("kind", String(16), nullable=False),  # studio.jobs.queue.Kind
    Column("name", String(200), nullable=False),
    Column("input", JSON, nullable=False),  # studio.jobs.inputs
    Column("state", String(16), nullable=False),  # studio.jobs.queue.State
    Column("worker", String(128), nullable=True),  # who has claimed it
    Column("heartbeat_at", Instant, nullable=True),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    Column("deaths", Integer, nullable=False, default=0),  # of its process, by a signal that nobody here sent
    Column("progress", JSON, nullable=False),  # studio.jobs.progress
    Column("message", Text, nullable=True),  # why it failed
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant, nullable=True),
    Column("finished_at", Instant, nullable=True),
    Index(None, "state", "id"),
    Index(None, "project_id", "id"),
    Index(None, "dataset_id"),
)

model_thresholds = Table(
    "model_thresholds",
    metadata,
    Column("training_id", Id, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("choice", String(8), primary_key=True),  # best or last
    Column("values", JSON, nullable=False),  # one a label, in the model's order
    Column("user_id", Id, ForeignKey("users.id", ondelete="SET NULL"), nullable=True),
    Column("saved_at", Instant, nullable=False),
)
