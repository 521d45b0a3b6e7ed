"""Whatever is done to images and labels, in whatever order: counts are what a recount says.

Four short walks by default; ONSIGHT_TEST_STEPS=500 for long ones.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import exists, func, select
from studio_rig import Rig, Workplace, picture

from studio.access.privileges import ProjectRole
from studio.database.tables import image_labels, images, labels

STEPS = int(os.environ.get("ONSIGHT_TEST_STEPS", "30"))


def check_rows(work: Workplace) -> None:
    """What the database keeps beside the labels themselves follows from them."""
    work.check_counts()
    counted = select(func.count()).where(image_labels.c.image_id == images.c.id).scalar_subquery()
    has_default = exists().where(
        image_labels.c.image_id == images.c.id, image_labels.c.label_id == images.c.default_label_id
    )
    gone = select(image_labels.c.image_id).join(labels, labels.c.id == image_labels.c.label_id)
    with work.rig.parts.database.reading() as connection:
        wrong = connection.execute(select(images.c.id).where(images.c.label_count != counted)).all()
        lost = connection.execute(select(images.c.id).where(images.c.default_label_id.is_not(None), ~has_default)).all()
        removed = connection.execute(gone.where(labels.c.removed_at.is_not(None))).all()
    assert (wrong, lost, removed) == ([], [], [])


class Walk:
    """Somebody who does one thing after another, as chance has it."""

    def __init__(self, work: Workplace, other: Workplace, seed: int) -> None:
        self.work, self.people, self.chance = work, (work, other), random.Random(seed)
        self.pictures = 0

    def some_images(self) -> dict[str, Any]:
        there = [image["id"] for image in self.work.grid()]
        if self.chance.random() < 0.3 and (label := self.a_label()):
            return {"filter": {"label": [label]}}
        return {"images": self.chance.sample(there, self.chance.randint(0, len(there)))}

    def a_label(self) -> str | None:
        there = [label["id"] for label in self.work.caller.get(f"{self.work.path}/labels")["labels"]]
        return self.chance.choice(there) if there else None

    def step(self) -> None:
        who, chance = self.chance.choice(self.people).caller, self.chance
        kind = chance.choice(
            ["upload", "label", "label", "label", "default", "flag", "remove", "add", "merge", "drop", "rename", "undo",
             "undo", "file"]
        )  # fmt: skip
        path, label = self.work.path, self.a_label()
        if kind == "upload":
            self.pictures += 1
            query = chance.choice(["", "?label=cat", "?label=cat&label=new&validation=true"])
            self.work.upload({f"{chance.randint(0, 3)}.png": picture(chance.randint(0, self.pictures))}, query)
        elif kind == "label" and label:
            body = {"selection": self.some_images(), "add": [label], "replace": chance.random() < 0.2}
            if chance.random() < 0.3:
                body |= {"add": [], "remove": [label], "replace": False}
            who.post(f"{path}/labelling", {**body, "default": chance.random() < 0.3})
        elif kind == "default":
            who.post(f"{path}/default-label", {"selection": self.some_images(), "label": chance.choice([label, None])})
        elif kind == "flag":
            who.post(f"{path}/validation", {"selection": self.some_images(), "validation": chance.random() < 0.5})
        elif kind == "remove" and chance.random() < 0.4:
            self.work.caller.post(f"{path}/images/remove", {"images": [one["id"] for one in self.work.grid()[:1]]})
        elif kind == "add":
            who.ask("POST", f"{path}/labels", json={"name": chance.choice("abcde")})
        elif kind == "merge" and label:
            who.ask("POST", f"{path}/labels/{label}/merge", json={"into": self.a_label()})
        elif kind == "drop" and label:
            who.delete(f"{path}/labels/{label}")
        elif kind == "rename" and label:
            who.ask("PATCH", f"{path}/labels/{label}", json={"name": chance.choice("abcde")})
        elif kind == "undo":
            who.ask("POST", f"{path}/undo")
        elif kind == "file":
            text = "".join(f"{one['name']},{chance.choice('abc')}\n" for one in self.work.grid()[:3])
            mode = chance.choice(["add", "replace"])
            who.ask("POST", f"{path}/label-file?mode={mode}", data=text.encode(), content_type="text/csv")


@pytest.fixture
def walk(rig: Rig, request: pytest.FixtureRequest) -> Walk:
    work = rig.workplace()
    rig.add_user("other")
    rig.share(work.project_id, "other", ProjectRole.EDITOR)
    return Walk(work, replace(work, caller=rig.signed_in("other")), request.param)


@pytest.mark.parametrize("walk", range(2), indirect=True)
def test_after_any_change_counts_are_what_a_recount_says(walk: Walk) -> None:
    for _ in range(STEPS):
        walk.step()
        check_rows(walk.work)
