"""Remove images from a project: their rows, their labels, and the files that nobody else needs."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select

from studio.database.tables import image_labels, images
from studio.labels.id_sets import one_of
from studio.projects.store import lock_project


def remove_images(connection: Connection, project_id: int, image_ids: Sequence[int]) -> list[str]:
    """Their digests; when the transaction is over, give them to `studio.images.orphans.remove_unneeded`."""
    lock_project(connection, project_id)
    own = one_of(connection, images.c.id, image_ids) & (images.c.project_id == project_id)
    digests = list(connection.scalars(select(images.c.sha256).where(own)))
    connection.execute(delete(image_labels).where(one_of(connection, image_labels.c.image_id, image_ids)))
    connection.execute(delete(images).where(own))
    return digests
