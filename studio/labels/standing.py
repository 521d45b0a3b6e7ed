"""Which suspicions about labels still stand: people mend labels long after a model was trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from sqlalchemy import Connection, select

from studio.database.tables import image_labels, images, labels

_AT_ONCE = 500


class Suspicion(Protocol):
    """Of the image `image`, a public id: the label `add` is missing, `remove` should not be there; names, or None."""

    @property
    def image(self) -> str: ...
    @property
    def add(self) -> str | None: ...
    @property
    def remove(self) -> str | None: ...


Suspected = TypeVar("Suspected", bound=Suspicion)


def still_standing(connection: Connection, project_id: int, suspicions: Sequence[Suspected]) -> list[Suspected]:
    """Those whose image is still there and labelled as it was, in their order."""
    given: dict[str, set[str]] = {}
    wanted = sorted({each.image for each in suspicions})
    for start in range(0, len(wanted), _AT_ONCE):
        ids = wanted[start : start + _AT_ONCE]
        own = (images.c.project_id == project_id) & images.c.public_id.in_(ids)
        given |= {public_id: set() for public_id in connection.scalars(select(images.c.public_id).where(own))}
        pairs = (
            select(images.c.public_id, labels.c.name)
            .join(image_labels, image_labels.c.image_id == images.c.id)
            .join(labels, labels.c.id == image_labels.c.label_id)
            .where(own, labels.c.removed_at.is_(None))
        )
        for public_id, name in connection.execute(pairs):
            given[public_id].add(name)
    return [
        each
        for each in suspicions
        if each.image in given
        and (each.remove is None or each.remove in given[each.image])
        and (each.add is None or each.add not in given[each.image])
    ]
