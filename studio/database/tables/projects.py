"""Projects, and who shares them."""

from __future__ import annotations

from sqlalchemy import JSON, Column, ForeignKey, String, Table

from studio.database.metadata import NEVER_AGAIN, Id, Instant, id_column, metadata, public_id_column

projects = Table(
    "projects",
    metadata,
    id_column(),
    public_id_column(),
    Column("name", String(200), nullable=False),
    Column("created_at", Instant, nullable=False),
    **NEVER_AGAIN,
)

members = Table(
    "members",
    metadata,
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("role", String(32), nullable=False),  # studio.access.privileges.ProjectRole
    Column("privileges", JSON, nullable=False),  # beside those of the role, a list
    Column("created_at", Instant, nullable=False),
)
