"""Images of a project. Their bytes lie in the blob store, named by digest; one blob may be the image of many projects.

label_count is kept by whoever changes image_labels, in the same transaction; label_kind follows from it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    text,
)

from studio.database.metadata import NEVER_AGAIN, Id, Instant, id_column, metadata, public_id_column

UNLABELLED, SINGLE, MULTI = 0, 1, 2  # label_kind

images = Table(
    "images",
    metadata,
    id_column(),
    public_id_column(),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(500), nullable=False),  # a relative path, as uploaded
    Column("sha256", String(64), nullable=False, index=True),
    Column("bytes", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),  # upright
    Column("height", Integer, nullable=False),
    Column("format", String(8), nullable=False),  # bundle.image_header.ImageFormat
    Column("uploaded_by", Id, ForeignKey("users.id", ondelete="SET NULL"), nullable=True),
    Column("created_at", Instant, nullable=False),
    Column("validation", Boolean, nullable=False, default=False),
    Column("default_label_id", Id, nullable=True),  # one that was chosen; no foreign key: labels go with their project
    Column("label_count", Integer, nullable=False, default=0),
    Column(
        "label_kind",
        SmallInteger,
        Computed("CASE WHEN label_count > 1 THEN 2 ELSE label_count END", persisted=True),
        nullable=False,
    ),
    UniqueConstraint("project_id", "name"),
    UniqueConstraint("project_id", "sha256"),
    # Each gives a grid in the order of ids, and counts without a look at the rows. A change of labels writes all of an
    # image's index entries anew, so there are no more than these.
    Index(None, "project_id", "id"),
    Index("ix_images_kind", "project_id", "label_kind", "id", "validation"),
    Index(
        "ix_images_validation", "project_id", "id",
        sqlite_where=text("validation = 1"), postgresql_where=text("validation"),
    ),
    **NEVER_AGAIN,
)  # fmt: skip
