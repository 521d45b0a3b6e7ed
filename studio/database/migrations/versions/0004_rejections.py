"""Labels that a person said an image does not have."""

import sqlalchemy as sa
from alembic import op

from studio.database.metadata import Id, Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rejections",
        sa.Column("label_id", Id, nullable=False),
        sa.Column("image_id", Id, nullable=False),
        sa.Column("user_id", Id, nullable=True),
        sa.Column("at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_rejections_image_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["label_id"], ["labels.id"], name=op.f("fk_rejections_label_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_rejections_user_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("label_id", "image_id", name=op.f("pk_rejections")),
    )
    op.create_index(op.f("ix_rejections_image_id"), "rejections", ["image_id"], unique=False)
