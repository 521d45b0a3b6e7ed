"""The first start, signing in, links, users, tokens, sharing, and the log of it all."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select
from studio_rig import Rig

from studio.access import passwords
from studio.access.links import new_setup_secret
from studio.access.privileges import InstallRole, Privilege, ProjectRole, Scope
from studio.database.tables import api_tokens, audit, links, sessions, users

V1 = "/studio/v1"
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real algorithm at its least cost: what these tests are about is not how long it takes."""
    from argon2 import PasswordHasher

    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._nobodys_hash.cache_clear()


def setup_secret(rig: Rig) -> str:
    with rig.parts.database.writing() as connection:
        secret = new_setup_secret(connection, rig.clock(), timedelta(hours=1))
    assert secret is not None
    return secret


def set_up(rig: Rig, secret: str) -> dict[str, str]:
    return {"secret": secret, "email": "Ada@Example.org", "password": PASSWORD, "name": "Ada"}


def test_the_first_link_makes_an_admin_once(rig: Rig) -> None:
    first, second = setup_secret(rig), setup_secret(rig)
    ada = rig.nobody()
    assert ada.get(f"{V1}/start") == {"set_up": False}
    assert ada.refused("POST", f"{V1}/setup", json=set_up(rig, first)) == (
        403,
        "LINK_INVALID",
    )  # the latest counts
    me = ada.post(f"{V1}/setup", set_up(rig, second))
    assert (me["email"], me["role"]) == ("ada@example.org", "admin")
    assert ada.get(f"{V1}/session")["csrf_token"] == me["csrf_token"]
    assert ada.get(f"{V1}/start") == {"set_up": True}
    assert rig.nobody().refused("POST", f"{V1}/setup", json=set_up(rig, second)) == (403, "LINK_INVALID")
    with rig.parts.database.writing() as connection:
        assert new_setup_secret(connection, rig.clock(), timedelta(hours=1)) is None


def test_of_many_who_use_the_first_link_at_once_one_gets_in(rig: Rig) -> None:
    secret = setup_secret(rig)

    def come(number: int) -> int:
        body = {**set_up(rig, secret), "email": f"{number}@example.org"}
        return rig.nobody().ask("POST", f"{V1}/setup", json=body).status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(come, range(6)))
    assert statuses == [200] + [403] * 5
    with rig.parts.database.reading() as connection:
        assert len(connection.execute(select(users)).all()) == 1


def test_a_link_that_does_not_work_costs_no_hash(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def hash_password(password: str) -> str:
        raise AssertionError("hashed before the link was looked at")

    monkeypatch.setattr("studio.routes.account.hash_password", hash_password)
    setup_secret(rig)
    for path, body in (("setup", set_up(rig, "wrong")), ("password", {"secret": "wrong", "password": PASSWORD})):
        assert rig.nobody().refused("POST", f"{V1}/{path}", json=body) == (403, "LINK_INVALID")


def test_who_waits_too_long_for_a_password_to_be_checked_is_told_to_come_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "WAIT_S", 0.01)
    turns = threading.BoundedSemaphore(1)
    turns.acquire()
    monkeypatch.setattr(passwords, "_turn", turns)
    body = {"email": "ada@example.org", "password": PASSWORD}
    answer = rig.nobody().ask("POST", f"{V1}/session", json=body)
    assert (answer.status_code, answer.json["code"], answer.headers["Retry-After"]) == (503, "BUSY", "1")  # type: ignore[index]
    turns.release()
    assert rig.nobody().refused("POST", f"{V1}/session", json=body) == (401, "PASSWORD_WRONG")


@pytest.mark.parametrize(("hops", "address"), [(0, "10.0.0.1"), (1, "192.0.2.7"), (2, "198.51.100.9")])
def test_an_address_is_the_one_that_as_many_proxies_as_are_trusted_tell(rig: Rig, hops: int, address: str) -> None:
    settings = rig.parts.settings.model_copy(update={"trusted_proxies": hops})
    behind = Rig(replace(rig.parts, settings=settings), rig.clock)
    body = {"email": "ada@example.org", "password": PASSWORD}
    behind.nobody().ask(
        "POST", f"{V1}/session", json=body, environ_base={"REMOTE_ADDR": "10.0.0.1"},
        headers={"X-Forwarded-For": "203.0.113.5, 198.51.100.9, 192.0.2.7"},
    )  # fmt: skip
    with rig.parts.database.reading() as connection:
        assert connection.scalar(select(audit.c.address)) == address


def test_a_link_that_is_too_old_is_refused(rig: Rig) -> None:
    secret = setup_secret(rig)
    rig.clock.pass_(hours=2)
    assert rig.nobody().refused("POST", f"{V1}/setup", json=set_up(rig, secret)) == (403, "LINK_INVALID")


def test_cookies_keep_to_themselves_and_secrets_are_kept_as_digests(rig: Rig) -> None:
    answer = rig.nobody().ask("POST", f"{V1}/setup", json=set_up(rig, setup_secret(rig)))
    session, csrf = answer.headers.getlist("Set-Cookie")
    assert "HttpOnly" in session
    assert "SameSite=Strict" in session
    assert "SameSite=Strict" in csrf
    value = session.partition("=")[2].partition(";")[0]
    with rig.parts.database.reading() as connection:
        rows = [str(row) for table in (users, sessions, links, api_tokens) for row in connection.execute(select(table))]
    assert not any(value in row or PASSWORD in row for row in rows)
    assert any("$argon2id$" in row for row in rows)


def test_a_wrong_password_is_refused_alike_for_known_and_unknown_and_waits_after_ten(rig: Rig) -> None:
    rig.nobody().post(f"{V1}/setup", set_up(rig, setup_secret(rig)))
    right = {"email": "ada@example.org", "password": PASSWORD}
    known, unknown = ({"email": name, "password": "x" * 12} for name in ("ada@example.org", "bob@example.org"))
    answers = [rig.nobody().ask("POST", f"{V1}/session", json=body).json for body in (known, unknown)]
    assert [(a["code"], a["detail"]) for a in answers if a] == [
        ("PASSWORD_WRONG", "E-mail address and password do not go together.")
    ] * 2
    for _ in range(9):
        assert rig.nobody().refused("POST", f"{V1}/session", json=known) == (401, "PASSWORD_WRONG")
    assert rig.nobody().refused("POST", f"{V1}/session", json=right) == (429, "TRY_LATER")
    rig.clock.pass_(minutes=11)
    assert rig.nobody().post(f"{V1}/session", right)["name"] == "Ada"


def test_signing_in_takes_json_alone_so_that_no_foreign_form_can(rig: Rig) -> None:
    body = '{"email": "ada@example.org", "password": "x"}'
    refused = rig.nobody().refused("POST", f"{V1}/session", data=body, content_type="text/plain")
    assert refused == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_session_ends_without_visits_and_lasts_with_them(rig: Rig) -> None:
    ada, bob = rig.somebody("ada"), rig.somebody("bob")
    for _ in range(4):
        rig.clock.pass_(days=10)
        ada.get(f"{V1}/session")
    assert bob.refused("GET", f"{V1}/session") == (401, "SESSION_ENDED")


def test_an_invited_user_chooses_a_password_once_and_then_signs_in(rig: Rig) -> None:
    admin = rig.somebody("admin", InstallRole.ADMIN)
    invited = admin.post(f"{V1}/users", {"email": "Bob@example.org", "name": "Bob", "role": "guest"}, 201)
    assert invited["user"]["has_password"] is False
    secret = invited["link"].partition("#")[2]
    bob = rig.nobody()
    weak = {"secret": secret, "password": "aaaaaaaaaaaa"}
    assert bob.refused("POST", f"{V1}/password", json=weak) == (400, "PASSWORD_WEAK")
    owner = {"email": "bob@example.org", "name": "Bob", "has_password": False}
    assert [bob.post(f"{V1}/password/link", {"secret": secret}) for _ in range(2)] == [owner, owner]
    assert bob.post(f"{V1}/password", {"secret": secret, "password": PASSWORD})["role"] == "guest"
    assert rig.nobody().refused("POST", f"{V1}/password", json={"secret": secret, "password": PASSWORD}) == (
        403, "LINK_INVALID",
    )  # fmt: skip
    assert bob.refused("POST", f"{V1}/password/link", json={"secret": secret}) == (403, "LINK_INVALID")
    assert rig.nobody().post(f"{V1}/session", {"email": "bob@example.org", "password": PASSWORD})["name"] == "Bob"
    again = {"email": "BOB@example.org", "name": "B"}
    assert admin.refused("POST", f"{V1}/users", json=again) == (409, "EMAIL_TAKEN")


def test_a_new_password_ends_all_other_sessions(rig: Rig) -> None:
    rig.nobody().post(f"{V1}/setup", set_up(rig, setup_secret(rig)))
    signing_in = {"email": "ada@example.org", "password": PASSWORD}
    one, two = rig.nobody(), rig.nobody()
    one.headers["X-CSRF-Token"] = one.post(f"{V1}/session", signing_in)["csrf_token"]
    two.post(f"{V1}/session", signing_in)
    change = {"old_password": "not this one", "password": "another one entirely"}
    assert one.refused("PUT", f"{V1}/account/password", json=change) == (401, "PASSWORD_WRONG")
    one.put(f"{V1}/account/password", {**change, "old_password": PASSWORD}, 204)
    assert one.get(f"{V1}/session")["name"] == "Ada"
    assert two.refused("GET", f"{V1}/session") == (401, "SESSION_ENDED")
    assert one.patch(f"{V1}/account", {"name": " Ada L. "})["name"] == "Ada L."


def test_there_is_always_an_admin_left(rig: Rig) -> None:
    admin = rig.somebody("admin", InstallRole.ADMIN)
    me = admin.get(f"{V1}/session")["id"]
    for method, body in (("PATCH", {"role": "member"}), ("PATCH", {"disabled": True}), ("DELETE", None)):
        assert admin.refused(method, f"{V1}/users/{me}", json=body) == (409, "LAST_ADMIN")
    rig.somebody("second", InstallRole.ADMIN)
    admin.delete(f"{V1}/users/{me}")
    assert admin.refused("GET", f"{V1}/session") == (401, "SESSION_ENDED")


def test_a_user_who_is_the_last_owner_of_a_project_is_not_deleted(rig: Rig) -> None:
    admin, bob = rig.somebody("admin", InstallRole.ADMIN), rig.somebody("bob")
    project = bob.post(f"{V1}/projects", {"name": "Trash"}, 201)["id"]
    address = f"{V1}/users/{bob.get(f'{V1}/session')['id']}"
    refused = admin.ask("DELETE", address)
    assert (refused.status_code, refused.json["code"]) == (409, "LAST_OWNER")  # type: ignore[index]
    assert "Trash" in refused.json["detail"]  # type: ignore[index]
    admin.post(f"{V1}/projects/{project}/members", {"email": "admin@example.org", "role": "owner"})
    admin.delete(address)
    assert bob.refused("GET", f"{V1}/session") == (401, "SESSION_ENDED")


def test_users_come_page_by_page(rig: Rig) -> None:
    admin = rig.somebody("admin", InstallRole.ADMIN)
    for number in range(6):
        rig.add_user(f"user{number}")
    names: list[str] = []
    after = ""
    while True:
        page = admin.get(f"{V1}/users?limit=3{after}")
        names += [user["name"] for user in page["users"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert names == ["admin", *(f"user{number}" for number in range(6))]
    assert admin.refused("GET", f"{V1}/users?after=nonsense") == (400, "CURSOR_INVALID")
    assert admin.refused("GET", f"{V1}/users?limit=0") == (400, "PARAMETER_INVALID")


def test_a_token_is_shown_once_works_at_once_and_stops_at_once(rig: Rig) -> None:
    ada = rig.somebody("ada")
    made = ada.post(f"{V1}/tokens", {"name": "laptop", "scopes": ["read", "write"], "days": 30}, 201)
    program = rig.nobody()
    program.headers["Authorization"] = f"Bearer {made['token']}"
    assert program.get(f"{V1}/session")["scopes"] == ["read", "write"]
    (listed,) = ada.get(f"{V1}/tokens")["tokens"]
    assert listed["used_at"] is not None
    assert made["token"] not in str(listed)
    assert made["token"].endswith(listed["last_characters"])
    rig.clock.pass_(days=31)
    ada = rig.signed_in("ada")
    assert program.refused("GET", f"{V1}/session") == (401, "TOKEN_INVALID")
    ada.delete(f"{V1}/tokens/{listed['id']}")
    assert ada.refused("DELETE", f"{V1}/tokens/{listed['id']}") == (404, "NOT_FOUND")


def test_nobody_revokes_or_sees_anothers_token(rig: Rig) -> None:
    ada, bob = rig.somebody("ada"), rig.somebody("bob")
    made = ada.post(f"{V1}/tokens", {"name": "laptop", "scopes": ["read"]}, 201)
    assert bob.get(f"{V1}/tokens") == {"tokens": []}
    assert bob.refused("DELETE", f"{V1}/tokens/{made['details']['id']}") == (404, "NOT_FOUND")
    _, project = rig.add_project("ada")
    for_one = {"name": "x", "scopes": ["read"], "project": project}
    assert bob.refused("POST", f"{V1}/tokens", json=for_one) == (404, "PROJECT_NOT_FOUND")


def test_a_token_of_one_project_opens_no_other(rig: Rig) -> None:
    ada = rig.somebody("ada")
    project_id, project = rig.add_project("ada", "mine")
    _, other = rig.add_project("ada", "other")
    program = rig.by_token("ada", Scope.ADMIN, project_id=project_id)
    assert [one["name"] for one in program.get(f"{V1}/projects")["projects"]] == ["mine"]
    assert program.refused("GET", f"{V1}/projects/{other}") == (404, "PROJECT_NOT_FOUND")
    assert program.refused("POST", f"{V1}/projects", json={"name": "new"})[0] == 403
    assert program.get(f"{V1}/projects/{project}")["role"] == "owner"
    ada.delete(f"{V1}/projects/{project}")
    assert program.refused("GET", f"{V1}/session") == (401, "TOKEN_INVALID")


def test_sharing_gives_takes_and_keeps_an_owner(rig: Rig) -> None:
    owner, bob = rig.somebody("owner"), rig.somebody("bob")
    project = owner.post(f"{V1}/projects", {"name": "  Trash  "}, 201)
    assert (project["name"], project["role"]) == ("Trash", "owner")
    path = f"{V1}/projects/{project['id']}"
    assert bob.get(f"{V1}/projects") == {"projects": [], "next": None}
    new = {"email": "BOB@example.org", "role": "labeller", "privileges": ["train"]}
    members = owner.post(f"{path}/members", new)["members"]
    assert [(one["name"], one["role"], one["privileges"]) for one in members] == [
        ("owner", "owner", []), ("bob", "labeller", ["train"]),
    ]  # fmt: skip
    assert bob.get(path)["privileges"] == ["label", "predict", "train", "view"]
    bob_id, owner_id = members[1]["user"], members[0]["user"]
    owner.put(f"{path}/members/{bob_id}", {"role": "viewer"})
    assert bob.get(path)["privileges"] == ["view"]
    wrong = {"role": "viewer", "privileges": ["manage_users"]}
    assert owner.refused("PUT", f"{path}/members/{bob_id}", json=wrong) == (400, "VALUE_INVALID")
    assert owner.refused("DELETE", f"{path}/members/{owner_id}") == (409, "LAST_OWNER")
    assert owner.refused("PUT", f"{path}/members/{owner_id}", json={"role": "viewer"}) == (409, "LAST_OWNER")
    unknown = {"email": "nobody@example.org", "role": "viewer"}
    assert owner.refused("POST", f"{path}/members", json=unknown) == (400, "VALUE_INVALID")
    owner.delete(f"{path}/members/{bob_id}")
    assert bob.refused("GET", path) == (404, "PROJECT_NOT_FOUND")


def test_an_admin_sees_every_project_and_is_no_member(rig: Rig) -> None:
    rig.somebody("owner")
    _, project = rig.add_project("owner", "theirs")
    admin = rig.somebody("admin", InstallRole.ADMIN)
    (seen,) = admin.get(f"{V1}/projects")["projects"]
    assert (seen["id"], seen["role"]) == (project, None)
    assert Privilege.OWN in seen["privileges"]
    assert admin.patch(f"{V1}/projects/{project}", {"name": "ours"})["name"] == "ours"


def test_the_log_tells_who_did_what_latest_first(rig: Rig) -> None:
    admin = rig.somebody("admin", InstallRole.ADMIN)
    rig.somebody("bob")
    project = admin.post(f"{V1}/projects", {"name": "p"}, 201)["id"]
    admin.post(f"{V1}/projects/{project}/members", {"email": "bob@example.org", "role": ProjectRole.EDITOR})
    admin.delete(f"{V1}/projects/{project}")
    admin.post(f"{V1}/tokens", {"name": "t", "scopes": ["read"]}, 201)
    page = admin.get(f"{V1}/audit?limit=2")
    assert [line["action"] for line in page["lines"]] == ["token.made", "project.deleted"]
    rest = admin.get(f"{V1}/audit?after={page['next']}")["lines"]
    assert [(line["action"], line["subject"]) for line in rest] == [
        ("project.shared", "bob@example.org"), ("project.made", "p"),
    ]  # fmt: skip
    assert {line["user_name"] for line in rest} == {"admin"}
    assert {line["project"] for line in rest} == {None}  # it is gone; what is told of it stays


def test_names_that_deceive_are_refused(rig: Rig) -> None:
    ada = rig.somebody("ada")
    for name in ("", "   ", "a\nb", "a\x00b", "x" * 201, "gpj.\u202eexe"):
        assert ada.refused("POST", f"{V1}/projects", json={"name": name}) == (400, "JSON_INVALID"), repr(name)
    assert ada.refused("POST", f"{V1}/projects", json={"name": "a", "colour": "b"}) == (400, "JSON_INVALID")
    assert ada.refused("POST", f"{V1}/projects", json=["a"]) == (400, "JSON_INVALID")
