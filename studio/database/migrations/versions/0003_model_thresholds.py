"""Thresholds that a person saved for a model."""

import sqlalchemy as sa
from alembic import op

from studio.database.metadata import Id, Instant

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_thresholds",
        sa.Column("training_id", Id, nullable=False),
        sa.Column("choice", sa.String(length=8), nullable=False),
        sa.Column("values", sa.JSON(), nullable=False),
        sa.Column("user_id", Id, nullable=True),
        sa.Column("saved_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["training_id"], ["jobs.id"], name=op.f("fk_model_thresholds_training_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_model_thresholds_user_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("training_id", "choice", name=op.f("pk_model_thresholds")),
    )
