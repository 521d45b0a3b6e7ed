"""What a training would do, many one-class models at once, versions of the data set, and networks to choose from."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, update
from studio_rig import Workplace

from studio.access.privileges import Scope
from studio.database.tables import jobs
from studio.jobs.folder import JobFolder
from studio.jobs.readout import ASSUMED_IMAGES_A_SECOND


@pytest.fixture
def labelled(work: Workplace) -> Workplace:
    """20 cats, 4 dogs, 2 that are both, 3 without a label."""
    images = work.add_images(29)
    cat, dog = work.add_labels("cat", "dog")
    work.label(images[:22], cat)
    work.label(images[20:26], dog)
    return work


def foretell(work: Workplace, **training: Any) -> dict[str, Any]:
    told: dict[str, Any] = work.caller.post(f"{work.path}/trainings/read-out", training)
    return told


def codes(told: dict[str, Any]) -> set[str]:
    return {warned["code"] for warned in told["warnings"]}


def train(work: Workplace, **training: Any) -> dict[str, Any]:
    queued: dict[str, Any] = work.caller.post(f"{work.path}/trainings", {"name": "t", "training": training}, 201)
    return queued


def test_a_read_out_counts_what_takes_part_and_queues_nothing(labelled: Workplace) -> None:
    told = foretell(labelled, validation_fraction=0.25, test_fraction=0.1)
    assert (told["task"], told["images"], told["left_out"]) == ("multi_label", 26, 3)
    assert told["labels"] == [{"label": "cat", "images": 22}, {"label": "dog", "images": 6}]
    assert told["train"] + told["validation"] + told["test"] == 26
    assert (told["validation"], told["test"]) == (6, 3)
    assert codes(told) == {"left_out", "few_images"}
    assert labelled.caller.get(f"{labelled.path}/jobs")["jobs"] == []


def test_a_read_out_follows_the_task_and_the_labels_that_are_ticked(labelled: Workplace) -> None:
    single = foretell(labelled, task="single_label")
    assert sum(label["images"] for label in single["labels"]) == 26
    assert "several_labels" in codes(single)
    alone = foretell(labelled, labels=["dog"], task="single_label")
    assert (alone["images"], "few_labels" in codes(alone)) == (6, True)
    labelled.add_labels("mouse")
    assert "bare_labels" in codes(foretell(labelled, labels=["cat", "dog", "mouse"]))
    assert "bare_labels" not in codes(foretell(labelled, labels=["cat", "dog"]))
    against = foretell(labelled, labels=["dog"], unlabelled_as_negative=True)
    assert (against["images"], "few_labels" in codes(against)) == (29, False)


def test_steps_are_those_that_the_trainer_plans(labelled: Workplace) -> None:
    (head,) = foretell(labelled, epochs=10, batch_size=8, validation_fraction=0)["stages"]
    assert (head["name"], head["steps"], head["batch_size"]) == ("training the head", 30, 8)
    (short,) = foretell(labelled, epochs=7)["stages"]
    assert short["epochs_at_most"] == 7
    both = foretell(labelled, fine_tune=True)["stages"]
    assert [stage["name"] for stage in both] == ["training the head", "fine-tuning the network"]
    (whole,) = foretell(labelled, from_scratch=True)["stages"]
    assert whole["name"] == "training the network"


def test_few_flagged_images_are_told(labelled: Workplace) -> None:
    images = [image["id"] for image in labelled.grid()]
    labelled.caller.post(f"{labelled.path}/validation", {"selection": {"images": images[:5]}, "validation": True})
    told = foretell(labelled, use_validation_flags=True)
    assert (told["train"], told["validation"], told["test"]) == (21, 5, 0)
    assert "few_flagged" in codes(told)
    with_test = foretell(labelled, use_validation_flags=True, test_fraction=1 / 3)
    assert (with_test["train"], with_test["validation"], with_test["test"]) == (14, 5, 7)


def test_flags_without_a_flagged_image_leave_the_share(labelled: Workplace) -> None:
    told = foretell(labelled, use_validation_flags=True, validation_fraction=0.5)
    assert (told["train"], told["validation"]) == (13, 13)


def test_the_time_to_read_images_is_that_of_this_installs_last_trainings(labelled: Workplace) -> None:
    before = foretell(labelled)
    assert (before["images_a_second"], before["measured"]) == (ASSUMED_IMAGES_A_SECOND, False)
    job = train(labelled)["id"]
    run = JobFolder(labelled.rig.parts.settings.jobs_folder, job).run
    run.folder.mkdir(parents=True)
    rows = [
        {"event": "progress", "stage": "features", "done": done, "total": 26, "at_s": done / 13} for done in (0, 26)
    ]
    run.events_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with labelled.rig.parts.database.writing() as connection:
        connection.execute(update(jobs).values(state="done"))
    after = foretell(labelled)
    assert (after["images_a_second"], after["reading_s"], after["measured"]) == (13.0, 2.0, True)


def test_one_model_a_label_is_queued_for_all_labels_or_none(labelled: Workplace) -> None:
    path = f"{labelled.path}/trainings/one-class"
    wrong = {"json": {"name": "Pets", "labels": ["cat", "horse"]}}
    assert labelled.caller.refused("POST", path, **wrong) == (404, "NOT_FOUND")
    assert labelled.caller.get(f"{labelled.path}/jobs")["jobs"] == []
    queued = labelled.caller.post(path, {"name": "Pets", "labels": ["cat", "dog"], "training": {"minutes": 2}}, 201)
    assert [job["name"] for job in queued["jobs"]] == ["Pets: cat", "Pets: dog"]
    for job, label in zip(queued["jobs"], ("cat", "dog"), strict=True):
        assert job["training"]["labels"] == [label]
        assert job["training"]["minutes"] == 2
        assert (job["training"]["task"], job["training"]["unlabelled_as_negative"]) == ("multi_label", True)
        assert job["image_count"] == 29


def test_a_version_of_the_data_set_is_kept_once_and_told_apart_from_others(labelled: Workplace) -> None:
    first, again = train(labelled), train(labelled)
    assert first["dataset"] == again["dataset"]
    images = {image["name"]: image["id"] for image in labelled.grid()}
    names = {label["name"]: label["id"] for label in labelled.caller.get(f"{labelled.path}/labels")["labels"]}
    labelled.label([images["0.png"]], names["dog"], remove=[names["cat"]])
    labelled.label([images["28.png"]], names["cat"])
    labelled.caller.delete(f"{labelled.path}/images/{images['1.png']}")
    path = f"{labelled.path}/datasets"
    expected = {
        "added": 1, "removed": 1, "relabelled": 1, "next": None, "images": [
            {"image": images["28.png"], "change": "added", "before": None, "after": ["cat"]},
            {"image": images["1.png"], "change": "removed", "before": ["cat"], "after": None},
            {"image": images["0.png"], "change": "relabelled", "before": ["cat"], "after": ["dog"]},
        ],
    }  # fmt: skip
    assert labelled.caller.get(f"{path}/{first['dataset']}/difference") == expected
    second = train(labelled)
    assert labelled.caller.get(f"{path}/{first['dataset']}/difference?to={second['dataset']}") == expected
    versions = labelled.caller.get(path)["versions"]
    assert [version["id"] for version in versions] == [second["dataset"], first["dataset"]]
    assert [used["id"] for used in versions[1]["trainings"]] == [again["id"], first["id"]]
    other = labelled.rig.workplace()
    assert other.caller.refused("GET", f"{other.path}/datasets/{first['dataset']}/difference") == (
        404,
        "DATASET_NOT_FOUND",
    )


def test_a_version_of_some_labels_is_compared_by_those(labelled: Workplace) -> None:
    job = train(labelled, labels=["dog"])
    difference = labelled.caller.get(f"{labelled.path}/datasets/{job['dataset']}/difference")
    assert (difference["added"], difference["removed"], difference["relabelled"]) == (0, 0, 0)


def test_a_version_and_what_changed_come_in_pages(labelled: Workplace) -> None:
    images = {image["name"]: image["id"] for image in labelled.grid()}
    flagged = [images["3.png"]]
    labelled.caller.post(f"{labelled.path}/validation", {"selection": {"images": flagged}, "validation": True})
    path = f"{labelled.path}/datasets/{train(labelled)['dataset']}"
    first = labelled.caller.get(f"{path}/images?limit=20")
    rest = labelled.caller.get(f"{path}/images?limit=20&after={first['next']}")
    assert rest["next"] is None
    shown = {each["image"]: each for each in first["images"] + rest["images"]}
    assert list(shown) == [images[f"{number}.png"] for number in range(26)]
    assert shown[images["21.png"]]["labels"] == ["cat", "dog"]
    assert [each["image"] for each in shown.values() if each["validation"]] == flagged

    (dog,) = [each["id"] for each in labelled.caller.get(f"{labelled.path}/labels")["labels"] if each["name"] == "dog"]
    labelled.label([images[f"{number}.png"] for number in (0, 1, 2, 26, 27)], dog)
    labelled.caller.delete(f"{labelled.path}/images/{images['25.png']}")
    seen, after = [], ""
    while after is not None:
        page = labelled.caller.get(f"{path}/difference?limit=2{after and f'&after={after}'}")
        assert (page["added"], page["removed"], page["relabelled"]) == (2, 1, 3)
        seen += page["images"]
        after = page["next"]
    assert [each["change"] for each in seen] == ["added"] * 2 + ["removed"] + ["relabelled"] * 3
    assert len({each["image"] for each in seen}) == 6
    alone = labelled.caller.get(f"{path}/difference?change=removed")["images"]
    assert [each["image"] for each in alone] == [images["25.png"]]
    assert labelled.caller.refused("GET", f"{path}/difference?after=x") == (400, "CURSOR_INVALID")


def test_the_network_that_comes_along_is_the_first_to_choose(work: Workplace) -> None:
    added = work.rig.parts.settings.home / "backbones" / "resnet"
    added.mkdir(parents=True)
    (added / "config.json").write_text("{}")
    (work.rig.parts.settings.home / "backbones" / ".adding-x").mkdir()
    found = work.caller.get(f"{work.path}/backbones")["backbones"]
    assert [(each["name"], each["built_in"]) for each in found] == [("onsight-small", True), ("resnet", False)]
    assert found[0]["size_bytes"] > 5e6


def test_trainings_that_are_asked_for_at_once_learn_one_version(labelled: Workplace) -> None:
    callers = [labelled.rig.by_token(labelled.owner, Scope.READ, Scope.TRAIN) for _ in range(4)]
    wanted = {"name": "t", "training": {"minutes": 1}}
    with ThreadPoolExecutor(4) as pool:
        queued = list(pool.map(lambda caller: caller.post(f"{labelled.path}/trainings", wanted, 201), callers))
    assert len({job["id"] for job in queued}) == 4
    assert len({job["dataset"] for job in queued}) == 1


def test_a_training_begins_from_a_model_of_its_own_project_alone(labelled: Workplace) -> None:
    first = train(labelled)["id"]
    path, wanted = f"{labelled.path}/trainings", {"name": "second", "training": {"warm_start": first}}
    assert labelled.caller.refused("POST", path, json=wanted) == (409, "NOT_TRAINED")
    with labelled.rig.parts.database.writing() as connection:
        connection.execute(update(jobs).values(state="done"))
    second = labelled.caller.post(path, wanted, 201)
    assert second["training"]["warm_start"] == first
    root = labelled.rig.parts.settings.jobs_folder
    with labelled.rig.parts.database.reading() as connection:
        row = connection.execute(select(jobs).where(jobs.c.public_id == second["id"])).one()
    command = JobFolder(root, second["id"]).command(row)
    assert command[command.index("--warm-start") + 1] == str(root / first / "run")
    other = labelled.rig.workplace()
    (label,) = other.add_labels("cup")
    other.label(other.add_images(1), label)
    assert other.caller.refused("POST", f"{other.path}/trainings", json=wanted) == (404, "JOB_NOT_FOUND")
