"""What people look for and find: projects and what is in them, users, lines of the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

from sqlalchemy import event, insert
from studio_rig import Rig

from studio.access.privileges import InstallRole, ProjectRole, Scope
from studio.database.tables import jobs
from studio.jobs.queue import Kind, State

V1 = "/studio/v1"


def add_job(rig: Rig, project_id: int, kind: Kind, state: State) -> None:
    row = {"project_id": project_id, "kind": kind.value, "state": state.value, "name": "m", "input": {}, "progress": {}}
    with rig.parts.database.writing() as connection:
        connection.execute(insert(jobs).values(**row, created_at=rig.clock()))


@contextmanager
def counted_statements(rig: Rig) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    engine = rig.parts.database.engine
    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def test_a_list_of_projects_shows_what_is_in_each(rig: Rig) -> None:
    work, empty = rig.workplace(), rig.workplace()
    images = work.add_images(6)
    glass, paper = work.add_labels("glass", "paper")
    rig.clock.pass_(hours=2)
    work.label(images[:2], glass)
    work.caller.delete(f"{work.path}/labels/{paper}")
    rig.add_user("bob")
    rig.share(work.project_id, "bob", ProjectRole.VIEWER)
    for kind, state in ((Kind.TRAINING, State.DONE), (Kind.TRAINING, State.FAILED), (Kind.EXPORT, State.DONE)):
        add_job(rig, work.project_id, kind, state)
    (mine,) = work.caller.get(f"{V1}/projects?outline=true")["projects"]
    outline = mine["outline"]
    assert {name: outline[name] for name in ("images", "labels", "models", "members")} == {
        "images": 6, "labels": 1, "models": 1, "members": 2,
    }  # fmt: skip
    assert outline["covers"] == images[:1:-1]
    assert outline["changed_at"] == "2026-03-01T14:00:00Z"
    (other,) = empty.caller.get(f"{V1}/projects?outline=true")["projects"]
    assert other["outline"] == {
        "images": 0, "labels": 0, "models": 0, "members": 1, "covers": [], "changed_at": other["created_at"],
    }  # fmt: skip
    assert work.caller.get(f"{V1}/projects")["projects"][0]["outline"] is None


def test_outlines_of_many_projects_take_as_many_queries_as_of_one(rig: Rig) -> None:
    ada = rig.somebody("ada")
    rig.add_project("ada")
    with counted_statements(rig) as one:
        ada.get(f"{V1}/projects?outline=true")
    for number in range(20):
        rig.add_project("ada", str(number))
    with counted_statements(rig) as many:
        assert len(ada.get(f"{V1}/projects?outline=true")["projects"]) == 21
    assert len(one) == len(many)


def test_a_token_that_may_not_look_sees_no_outline(rig: Rig) -> None:
    rig.add_user("ada")
    rig.add_project("ada")
    (seen,) = rig.by_token("ada", Scope.PREDICT).get(f"{V1}/projects?outline=true")["projects"]
    assert seen["outline"] is None
    (seen,) = rig.by_token("ada", Scope.READ).get(f"{V1}/projects?outline=true")["projects"]
    assert seen["outline"]["images"] == 0


def test_projects_are_found_by_a_part_of_their_name_in_either_order(rig: Rig) -> None:
    ada = rig.somebody("ada")
    for name in ("Trash", "100 % glass", "Dresses", "trash, 2nd try"):
        rig.add_project("ada", name)

    def names(**asked: str) -> list[str]:
        found: list[str] = []
        after = {}
        while True:
            page = ada.get(f"{V1}/projects?{urlencode({**asked, **after, 'limit': 1})}")
            found += [one["name"] for one in page["projects"]]
            if page["next"] is None:
                return found
            after = {"after": page["next"]}

    assert names() == ["Trash", "100 % glass", "Dresses", "trash, 2nd try"]
    assert names(order="newest") == names()[::-1]
    assert names(search="TRASH") == ["Trash", "trash, 2nd try"]
    assert names(search="%") == ["100 % glass"]
    assert names(search="trash", order="newest") == ["trash, 2nd try", "Trash"]
    assert names(search="_") == []
    assert names(search="tra\0sh") == names(search="trash")


def test_users_are_found_by_name_or_address(rig: Rig) -> None:
    admin = rig.somebody("admin", InstallRole.ADMIN)
    admin.post(f"{V1}/users", {"email": "ada@lovelace.example", "name": "Countess"}, 201)
    rig.add_user("bob")

    def names(search: str) -> list[str]:
        return [one["name"] for one in admin.get(f"{V1}/users?{urlencode({'search': search})}")["users"]]

    assert names("LOVE") == names("countess") == ["Countess"]
    assert names("example.org") == ["admin", "bob"]
    assert names("") == ["admin", "Countess", "bob"]


def test_the_log_is_narrowed_by_action_user_project_subject_and_time(rig: Rig) -> None:
    admin = rig.somebody("admin", InstallRole.ADMIN)
    bob = rig.somebody("bob")
    bob_id = bob.get(f"{V1}/session")["id"]
    first = admin.post(f"{V1}/projects", {"name": "first"}, 201)["id"]
    rig.clock.pass_(days=1)
    bob.post(f"{V1}/projects", {"name": "second"}, 201)
    admin.patch(f"{V1}/projects/{first}", {"name": "FIRST"})
    admin.post(f"{V1}/tokens", {"name": "projectile", "scopes": ["read"]}, 201)

    def lines(**asked: str) -> list[tuple[str, str]]:
        return [(one["action"], one["subject"]) for one in admin.get(f"{V1}/audit?{urlencode(asked)}")["lines"]]

    made, renamed = ("project.made", "first"), ("project.renamed", "FIRST")
    assert lines(action="project") == [renamed, ("project.made", "second"), made]
    assert lines(action="project.renamed") == [renamed]
    assert lines(action="projec") == []
    assert lines(user=bob_id) == [("project.made", "second")]
    assert lines(project=first) == [renamed, made]
    assert {one["project_name"] for one in admin.get(f"{V1}/audit?project={first}")["lines"]} == {"FIRST"}
    assert lines(subject="IRS") == [renamed, made]
    assert lines(until="2026-03-02T00:00:00Z") == lines(until="2026-03-02T02:00:00+02:00") == [made]
    assert made not in lines(since="2026-03-02T00:00:00Z")
    assert len(lines(since="2026-03-02T00:00:00Z")) == 3
    for wrong in ("2026-03-02T00:00:00", "0001-01-01T00:00:00+14:00", "0.5", "yesterday"):
        refused = admin.refused("GET", f"{V1}/audit?{urlencode({'since': wrong})}")
        assert refused == (400, "PARAMETER_INVALID"), wrong
    assert admin.refused("GET", f"{V1}/audit?user=nobody") == (404, "NOT_FOUND")


def test_the_history_tells_who_changed_which_labels_of_how_many_images(rig: Rig) -> None:
    work = rig.workplace()
    images = work.add_images(3)
    glass, paper = work.add_labels("glass", "paper")
    work.label(images[:1], paper)
    work.label(images, glass, replace=True, default=True)
    work.caller.post(f"{work.path}/validation", {"selection": {"images": images[:2]}, "validation": True})
    work.undo()
    work.caller.patch(f"{work.path}/labels/{glass}", {"name": "bottle"})

    def told(after: str = "") -> list[tuple[str, bool, list[tuple[str, str | None, int]]]]:
        page = work.caller.get(f"{work.path}/events?limit=2{after}")
        assert {one["user_name"] for one in page["events"]} == {work.owner}
        assert all(one["images"] == sum(each["images"] for each in one["changes"]) for one in page["events"])
        here = [
            (one["kind"], one["undone"], [(each["change"], each["label"], each["images"]) for each in one["changes"]])
            for one in page["events"]
        ]
        return here + (told(f"&after={page['next']}") if page["next"] else [])

    assert told() == [
        ("rename_label", False, []),
        ("undo", False, [("validation_off", None, 2)]),
        ("validation", True, [("validation_on", None, 2)]),
        ("label", False, [("removed", "paper", 1), ("added", "bottle", 3), ("default", "bottle", 3)]),
        ("label", False, [("added", "paper", 1)]),
        ("add_label", False, []),
        ("add_label", False, []),
    ]
