"""Which of the known images have which label, as arrays beside their vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from studio.database.tables import image_labels, images
from studio.labels.vocabulary import list_labels
from studio.similarity.store import ProjectFeatures


def rows_with(connection: Connection, found: ProjectFeatures, label_id: int) -> NDArray[np.bool_]:
    """(N,) whether the image has the label."""
    own = select(image_labels.c.image_id).where(image_labels.c.label_id == label_id)
    has: NDArray[np.bool_] = np.isin(found.ids, np.fromiter(connection.scalars(own), np.int64))
    return has


def default_places(connection: Connection, project_id: int, found: ProjectFeatures) -> NDArray[np.int64]:
    """(N,) the place among the project's labels of each image's default label, else of its first; -1 for none."""
    places = {label.id: place for place, label in enumerate(list_labels(connection, project_id))}
    row_of = {image: row for row, image in enumerate(found.ids.tolist())}
    default = np.full(len(found), -1, np.int64)
    for label_id, place in reversed(places.items()):
        own = select(image_labels.c.image_id).where(image_labels.c.label_id == label_id)
        rows = [row_of[image] for image in connection.scalars(own) if image in row_of]
        default[rows] = place
    chosen = select(images.c.id, images.c.default_label_id).where(
        images.c.project_id == project_id, images.c.default_label_id.is_not(None)
    )
    for image, label_id in connection.execute(chosen):
        if image in row_of and label_id in places:
            default[row_of[image]] = places[label_id]
    return default
