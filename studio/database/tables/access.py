"""Who there is and what they did: users, links for passwords, sessions, API tokens, the audit log.

Secrets (links, session ids, tokens) are kept as SHA-256 digests alone; passwords as argon2id.
"""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, ForeignKey, Index, String, Table, Text

from studio.database.metadata import NEVER_AGAIN, Id, Instant, id_column, metadata, public_id_column

users = Table(
    "users",
    metadata,
    id_column(),
    public_id_column(),
    Column("email", String(320), nullable=False, unique=True),  # lower case
    Column("name", String(200), nullable=False),
    Column("password_hash", Text, nullable=True),  # none: invited, and not yet come
    Column("role", String(32), nullable=False),  # studio.access.privileges.InstallRole
    Column("disabled", Boolean, nullable=False, default=False),
    Column("created_at", Instant, nullable=False),
    **NEVER_AGAIN,
)

# One-time links: of the first start (no user yet), and for a first or a new password.
links = Table(
    "links",
    metadata,
    id_column(),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=True, index=True),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    id_column(),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    id_column(),
    public_id_column(),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), nullable=True, index=True),  # none: all
    Column("name", String(100), nullable=False),
    Column("scopes", JSON, nullable=False),  # studio.access.privileges.Scope, a list
    Column("last_characters", String(4), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("used_at", Instant, nullable=True),
    Column("expires_at", Instant, nullable=True),
)

audit = Table(
    "audit",
    metadata,
    id_column(),
    Column("at", Instant, nullable=False),
    Column("action", String(64), nullable=False),
    Column("user_id", Id, ForeignKey("users.id", ondelete="SET NULL"), nullable=True, index=True),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="SET NULL"), nullable=True, index=True),
    Column("subject", String(400), nullable=False),  # what it was done to, in words: it outlives the row
    Column("details", JSON, nullable=False),
    Column("address", String(64), nullable=False),
    Column("request_id", String(64), nullable=False),
    Index(None, "action", "subject", "at"),
)
