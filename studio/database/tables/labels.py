"""Labels of a project, which images have them, and every change as an event that can be undone.

An event is one operation of one user: a press of a key, a bulk labelling, a label file. Its sets say which images it
really changed, and how; an undo turns them around.
"""

from __future__ import annotations

from sqlalchemy import JSON, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, text

from studio.database.metadata import NEVER_AGAIN, Id, Instant, id_column, metadata, public_id_column

labels = Table(
    "labels",
    metadata,
    id_column(),
    public_id_column(),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(100), nullable=False),
    Column("colour", String(7), nullable=False),  # #rrggbb
    Column("position", Integer, nullable=False),  # in the panel; the number keys follow it
    Column("created_at", Instant, nullable=False),
    Column("removed_at", Instant, nullable=True),  # kept, so that an undo can bring it back
    Index(
        "uq_labels_name_in_use", "project_id", "name", unique=True,
        sqlite_where=text("removed_at IS NULL"), postgresql_where=text("removed_at IS NULL"),
    ),
    **NEVER_AGAIN,
)  # fmt: skip

image_labels = Table(
    "image_labels",
    metadata,
    # Label first: a label's images in the order of ids, and its count, are one range of the key.
    Column("label_id", Id, ForeignKey("labels.id", ondelete="CASCADE"), primary_key=True),
    Column("image_id", Id, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("event_id", Id, ForeignKey("events.id"), nullable=False, index=True),
    Index(None, "image_id"),
    sqlite_with_rowid=False,
)

# What a person said that an image does not have: nobody is asked again.
rejections = Table(
    "rejections",
    metadata,
    Column("label_id", Id, ForeignKey("labels.id", ondelete="CASCADE"), primary_key=True),
    Column("image_id", Id, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Id, ForeignKey("users.id", ondelete="SET NULL"), nullable=True),
    Column("at", Instant, nullable=False),
    Index(None, "image_id"),
)

events = Table(
    "events",
    metadata,
    id_column(),
    public_id_column(),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Id, ForeignKey("users.id", ondelete="SET NULL"), nullable=True),
    Column("at", Instant, nullable=False),
    Column("kind", String(32), nullable=False),  # studio.labels.events.Kind
    Column("details", JSON, nullable=False),  # what the sets do not say: names before and after
    Column("undoes_id", Id, ForeignKey("events.id"), nullable=True, unique=True),
    Index(None, "project_id", "id"),
    Index(None, "project_id", "user_id", "id"),
    **NEVER_AGAIN,
)

event_sets = Table(
    "event_sets",
    metadata,
    id_column(),
    Column("event_id", Id, ForeignKey("events.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("change", String(16), nullable=False),  # studio.labels.events.Change
    Column("label_id", Id, nullable=True),  # no foreign keys: labels go with their project alone, and so do events
    Column("label_before_id", Id, nullable=True),
    Column("image_count", Integer, nullable=False),
    Column("image_ids", LargeBinary, nullable=False),  # studio.labels.id_sets
    Column("event_ids", LargeBinary, nullable=True),  # of `removed`: which event had put the label on each
)
