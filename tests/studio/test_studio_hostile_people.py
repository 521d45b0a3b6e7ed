"""People who want more than they were given: by sharing, by guessing, by texts that a database cannot take."""

from __future__ import annotations

from studio_rig import Workplace

from studio.access.privileges import Privilege, ProjectRole

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
