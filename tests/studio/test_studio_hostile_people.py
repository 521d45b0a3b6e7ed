"""People who want more than they were given: by sharing, by guessing, by texts that a database cannot take."""

from __future__ import annotations

import base64

from studio_rig import Rig, Workplace

from studio.access.privileges import InstallRole, Privilege, ProjectRole

V1 = "/studio/v1"


def test_who_may_share_gives_no_more_than_they_have_and_takes_nothing_from_who_has_more(work: Workplace) -> None:
    rig, path = work.rig, f"{work.path}/members"
    rig.add_user("helper")
    rig.add_user("friend")
    rig.share(work.project_id, "helper", ProjectRole.LABELLER, [Privilege.SHARE])
    helper = rig.signed_in("helper")
    ids = {one["name"]: one["user"] for one in work.caller.get(path)["members"]}
    owner_role = {"role": "owner", "privileges": []}
    refused = (403, "PRIVILEGE_MISSING")
    assert helper.refused("PUT", f"{path}/{ids['helper']}", json=owner_role) == refused
    assert helper.refused("POST", path, json={"email": "friend@example.org", "role": "editor"}) == refused
    further = {"email": "friend@example.org", "role": "viewer", "privileges": ["own"]}
    assert helper.refused("POST", path, json=further) == refused
    assert helper.refused("PUT", f"{path}/{ids[work.owner]}", json={"role": "viewer"}) == refused
    assert helper.refused("DELETE", f"{path}/{ids[work.owner]}") == refused
    assert {one["name"]: one["role"] for one in work.caller.get(path)["members"]} == {
        work.owner: "owner", "helper": "labeller",
    }  # fmt: skip
    members = helper.post(path, {"email": "friend@example.org", "role": "viewer", "privileges": ["share"]})["members"]
    helper.delete(f"{path}/{members[-1]['user']}")


def test_spaces_of_any_kind_around_an_address_are_no_way_past_the_limit_on_wrong_passwords(rig: Rig) -> None:
    rig.add_user("ada")
    for number in range(10):
        disguised = "ada@example.org" + "\x1c\x1d\x1e\x1f"[: number % 5]
        body = {"email": disguised, "password": "a wrong password"}
        assert rig.nobody().refused("POST", f"{V1}/session", json=body)[0] in (400, 401)
    for number in range(5):
        body = {"email": "\x1e" * number + "ada@example.org\x1f", "password": "a wrong password"}
        assert rig.nobody().refused("POST", f"{V1}/session", json=body) in ((400, "JSON_INVALID"), (429, "TRY_LATER"))


def test_a_character_zero_in_an_address_is_refused_and_not_a_fault_of_the_database(rig: Rig) -> None:
    admin = rig.somebody("admin", InstallRole.ADMIN)
    body = {"email": "a\0@example.org", "password": "a wrong password"}
    assert rig.nobody().refused("POST", f"{V1}/session", json=body) == (400, "JSON_INVALID")
    new = {"email": "a\0@example.org", "name": "A"}
    assert admin.refused("POST", f"{V1}/users", json=new) == (400, "JSON_INVALID")
    path = rig.add_project("admin")[1]
    member = {"email": "a\0@example.org", "role": "viewer"}
    assert admin.refused("POST", f"{V1}/projects/{path}/members", json=member) == (400, "JSON_INVALID")


def test_the_browser_keeps_the_cookies_of_a_session_as_long_as_the_session_is_visited(rig: Rig) -> None:
    """A cookie that is set at the sign-in alone ends after fourteen days, however often one comes."""
    ada = rig.somebody("ada")
    names = [line.partition("=")[0] for line in ada.ask("GET", f"{V1}/session").headers.getlist("Set-Cookie")]
    assert names == []  # within ten minutes of the last visit nothing is noted
    rig.clock.pass_(days=10)
    renewed = ada.ask("GET", f"{V1}/session").headers.getlist("Set-Cookie")
    assert {line.partition("=")[0] for line in renewed} == {"onsight_session", "onsight_csrf"}
    assert all(f"Max-Age={14 * 24 * 3600}" in line for line in renewed)
    rig.clock.pass_(days=10)
    signed_out = ada.ask("DELETE", f"{V1}/session").headers.getlist("Set-Cookie")
    assert all("Max-Age=0" in line for line in signed_out)


def test_half_a_character_in_a_cursor_is_refused(work: Workplace) -> None:
    cursor = base64.urlsafe_b64encode(rb'["\ud800",5]').rstrip(b"=").decode()
    refused = work.caller.refused("GET", f"{work.path}/images?order=name&after={cursor}")
    assert refused == (400, "CURSOR_INVALID")


def test_an_old_password_cannot_be_guessed_through_a_session_that_was_left_open(rig: Rig) -> None:
    ada = rig.somebody("ada")
    body = {"old_password": "a wrong password", "password": "another password"}
    for _ in range(10):
        assert ada.refused("PUT", f"{V1}/account/password", json=body) == (401, "PASSWORD_WRONG")
    assert ada.refused("PUT", f"{V1}/account/password", json=body) == (429, "TRY_LATER")
