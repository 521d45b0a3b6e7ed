"""Nobody gets in: every route with every method, for everybody there is, against a list that stands here.

The views themselves are replaced by one that answers 299, so that an answer says what the guard decided and nothing is
changed by asking. What a view allows beyond that is tested where the view is.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Response
from studio_rig import Caller, Rig

from server.errors import ConfigurationError
from studio.access.guard import register_guard, rule_of_view
from studio.access.privileges import InstallRole, ProjectRole, Scope
from studio.database.tables import projects

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW")
REACHED = 299

SESSIONS = {"guest", "stranger", "viewer", "labeller", "editor", "owner", "admin"}
TOKENS = {f"token {scope}" for scope in ("read", "label", "write", "train", "predict", "admin")}
EVERYBODY = {"nobody", "wrong csrf", "ended", "disabled", "wrong token", "elsewhere"} | SESSIONS | TOKENS
MEMBERS = {"viewer", "labeller", "editor", "owner", "admin"}
# Tokens are of the owner, "elsewhere" is an owner's of all scopes for another project.
MAY = {
    "public": EVERYBODY,
    "anybody": SESSIONS | TOKENS | {"elsewhere"},
    "sessions": SESSIONS,
    "see": MEMBERS | {f"token {scope}" for scope in ("read", "label", "write", "train", "admin")},
    "label": {"labeller", "editor", "owner", "admin", "token label", "token write", "token admin"},
    "edit": {"editor", "owner", "admin", "token write", "token admin"},
    "predict": {"labeller", "editor", "owner", "admin", "token predict", "token admin"},
    "train": {"editor", "owner", "admin", "token train", "token admin"},
    "download": {"editor", "owner", "admin", "token train", "token admin"},
    "share": {"owner", "admin", "token admin"},
    "own": {"owner", "admin", "token write", "token admin"},
    "create": SESSIONS - {"guest"} | {"token write", "token admin"},
    "administer": {"admin"},
}
P = "/studio/v1/projects/<project>"
ROUTES: dict[tuple[str, str], str] = {
    ("GET", "/health/live"): "public",
    ("GET", "/health/ready"): "public",
    ("GET", "/openapi.json"): "public",
    ("GET", "/studio/v1/start"): "public",
    ("POST", "/studio/v1/setup"): "public",
    ("POST", "/studio/v1/password"): "public",
    ("POST", "/studio/v1/password/link"): "public",
    ("POST", "/studio/v1/session"): "public",
    ("GET", "/studio/v1/session"): "anybody",
    ("DELETE", "/studio/v1/session"): "sessions",
    ("PATCH", "/studio/v1/account"): "sessions",
    ("PUT", "/studio/v1/account/password"): "sessions",
    ("GET", "/studio/v1/tokens"): "sessions",
    ("POST", "/studio/v1/tokens"): "sessions",
    ("DELETE", "/studio/v1/tokens/<token>"): "sessions",
    ("GET", "/studio/v1/users"): "administer",
    ("POST", "/studio/v1/users"): "administer",
    ("GET", "/studio/v1/users/<user>"): "administer",
    ("PATCH", "/studio/v1/users/<user>"): "administer",
    ("DELETE", "/studio/v1/users/<user>"): "administer",
    ("POST", "/studio/v1/users/<user>/link"): "administer",
    ("GET", "/studio/v1/audit"): "administer",
    ("GET", "/studio/v1/projects"): "anybody",
    ("POST", "/studio/v1/projects"): "create",
    ("GET", P): "see",
    ("PATCH", P): "own",
    ("DELETE", P): "own",
    ("GET", f"{P}/members"): "see",
    ("POST", f"{P}/members"): "share",
    ("PUT", f"{P}/members/<user>"): "share",
    ("DELETE", f"{P}/members/<user>"): "share",
    ("GET", f"{P}/images"): "see",
    ("GET", f"{P}/images/pages"): "see",
    ("POST", f"{P}/images"): "edit",
    ("POST", f"{P}/images/known"): "edit",
    ("POST", f"{P}/images/remove"): "edit",
    ("GET", f"{P}/images/<id:image>"): "see",
    ("DELETE", f"{P}/images/<id:image>"): "edit",
    ("GET", f"{P}/images/<id:image>/file"): "see",
    ("GET", f"{P}/images/<id:image>/thumbnail"): "see",
    ("GET", f"{P}/counts"): "see",
    ("GET", f"{P}/labels"): "see",
    ("POST", f"{P}/labels"): "edit",
    ("PUT", f"{P}/labels/order"): "edit",
    ("PATCH", f"{P}/labels/<id:label>"): "edit",
    ("DELETE", f"{P}/labels/<id:label>"): "edit",
    ("POST", f"{P}/labels/<id:label>/merge"): "edit",
    ("POST", f"{P}/labelling"): "label",
    ("POST", f"{P}/default-label"): "label",
    ("POST", f"{P}/validation"): "label",
    ("POST", f"{P}/undo"): "label",
    ("GET", f"{P}/events"): "see",
    ("GET", f"{P}/label-file"): "see",
    ("POST", f"{P}/label-file"): "label",
    ("GET", f"{P}/models/<id:job>/predict"): "predict",
    ("POST", f"{P}/models/<id:job>/predict"): "predict",
    ("POST", f"{P}/models/<id:job>/heatmap"): "predict",
    ("GET", f"{P}/features"): "see",
    ("POST", f"{P}/features"): "label",
    ("GET", f"{P}/similarity"): "see",
    ("GET", f"{P}/suggestions"): "see",
    ("POST", f"{P}/rejections"): "label",
    ("GET", f"{P}/near-duplicates"): "see",
    ("GET", f"{P}/label-doubts"): "see",
    ("GET", f"{P}/jobs"): "see",
    ("GET", f"{P}/jobs/<id:job>"): "see",
    ("DELETE", f"{P}/jobs/<id:job>"): "train",
    ("POST", f"{P}/jobs/<id:job>/cancel"): "train",
    ("POST", f"{P}/jobs/<id:job>/resume"): "train",
    ("GET", f"{P}/jobs/<id:job>/log"): "see",
    ("GET", f"{P}/jobs/<id:job>/curves"): "see",
    ("POST", f"{P}/trainings"): "train",
    ("POST", f"{P}/trainings/one-class"): "train",
    ("POST", f"{P}/trainings/read-out"): "see",
    ("GET", f"{P}/backbones"): "see",
    ("GET", f"{P}/datasets"): "see",
    ("GET", f"{P}/datasets/<id:dataset>/images"): "see",
    ("GET", f"{P}/datasets/<id:dataset>/difference"): "see",
    ("POST", f"{P}/exports"): "download",
    ("GET", "/studio/v1/queue"): "anybody",
    ("GET", f"{P}/models"): "see",
    ("GET", f"{P}/models/<id:job>"): "see",
    ("PUT", f"{P}/models/<id:job>/thresholds"): "train",
    ("POST", f"{P}/models/<id:job>/measure"): "see",
    ("GET", f"{P}/models/<id:job>/calibration"): "see",
    ("GET", f"{P}/models/<id:job>/curve"): "see",
    ("POST", f"{P}/models/<id:job>/curve/click"): "see",
    ("POST", f"{P}/models/<id:job>/thresholds/choose"): "see",
    ("POST", f"{P}/models/<id:job>/predictions"): "see",
    ("GET", f"{P}/models/<id:job>/predictions.csv"): "see",
    ("GET", f"{P}/models/<id:job>/predictions.zip"): "see",
    ("GET", f"{P}/models/<id:job>/label-issues"): "see",
    ("GET", f"{P}/models/<id:job>/comparison"): "see",
    ("GET", f"{P}/exports/<id:job>"): "download",
    ("GET", f"{P}/exports/<id:job>/file"): "download",
    ("GET", f"{P}/exports/<id:job>/key"): "download",
    ("GET", f"{P}/exports/<id:job>/instructions"): "download",
    ("GET", "/studio/v1/licenses"): "administer",
    ("POST", "/studio/v1/licenses"): "administer",
    ("GET", "/studio/v1/licenses/request"): "administer",
    ("POST", "/api/project"): "create",
    ("POST", "/api/similarity"): "anybody",  # the project is in its query: the view asks
    ("GET", "/api/images/<project>"): "see",
    ("POST", "/api/image/<project>/<path:image_name>"): "edit",
    ("GET", "/api/image/<project>/<path:image_name>"): "see",
    ("DELETE", "/api/image/<project>/<path:image_name>"): "edit",
}


@pytest.fixture
def people(rig: Rig) -> dict[str, Caller]:
    """Everybody; the project that they ask for is rig's first."""
    callers = {"nobody": rig.nobody(), "admin": rig.somebody("admin", InstallRole.ADMIN)}
    callers |= {name: rig.somebody(name) for name in ("stranger", "viewer", "labeller", "editor", "owner")}
    callers["guest"] = rig.somebody("guest", InstallRole.GUEST)
    project_id, _ = rig.add_project("owner")
    for name in ("viewer", "labeller", "editor"):
        rig.share(project_id, name, ProjectRole(name))
    other_id, _ = rig.add_project("owner", "another")
    callers |= {f"token {scope}": rig.by_token("owner", scope) for scope in Scope}
    callers["elsewhere"] = rig.by_token("owner", *Scope, project_id=other_id)
    callers["wrong token"] = Caller(rig.app.test_client(), {"X-Auth-token": "onsight_" + "x" * 43})
    callers["wrong csrf"] = rig.signed_in("owner")
    callers["wrong csrf"].headers["X-CSRF-Token"] = callers["owner"].headers["X-CSRF-Token"]  # of another session
    callers["ended"] = rig.signed_in("owner")
    rig_admin, ended = callers["admin"], callers["ended"]
    cookie = ended.client.get_cookie("onsight_session")
    assert cookie is not None
    ended.delete("/studio/v1/session")
    ended.client.set_cookie("onsight_session", cookie.value)
    callers["disabled"] = rig.somebody("disabled", InstallRole.ADMIN)
    (user,) = (one for one in rig_admin.get("/studio/v1/users")["users"] if one["name"] == "disabled")
    rig_admin.patch(f"/studio/v1/users/{user['id']}", {"disabled": True})
    assert set(callers) == EVERYBODY
    for name, view in rig.app.view_functions.items():
        rig.app.view_functions[name] = _reached(view)
    return callers


def _reached(view: Callable[..., Any]) -> Callable[..., Response]:
    @functools.wraps(view)
    def answer(**_: str) -> Response:
        return Response(status=REACHED)

    return answer


def _addresses(rig: Rig) -> Iterator[tuple[str, set[str], str]]:
    with rig.parts.database.reading() as connection:
        project = connection.execute(projects.select().order_by(projects.c.id)).first()
    assert project is not None
    for rule in rig.app.url_map.iter_rules():
        names = {"project": project.public_id}
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: names.get(found[1], "x" * 11), rule.rule)  # noqa: B023
        yield rule.rule, set(rule.methods or ()), path


def test_every_route_stands_in_the_list_and_no_other_does(rig: Rig) -> None:
    found = {
        (method, rule.rule)
        for rule in rig.app.url_map.iter_rules()
        for method in set(rule.methods or ()) - {"HEAD", "OPTIONS"}
    }
    assert found == set(ROUTES)


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)  # the guard is the same on both, and asks much
def test_every_route_and_method_lets_in_whom_it_should_and_nobody_else(rig: Rig, people: dict[str, Caller]) -> None:
    adapter = rig.app.url_map.bind("localhost")
    few = {name: people[name] for name in ("nobody", "stranger", "owner", "wrong csrf")}
    asked = 0
    for rule, _, path in _addresses(rig):
        for method in METHODS:
            taken = method in adapter.allowed_methods(path)
            matched = adapter.match(path, method, return_rule=True)[0].rule if taken else ""
            listed = ROUTES.get(("GET" if method == "HEAD" else method, matched))
            # One address may have several routes; each method is asked at one of them by everybody.
            for name, caller in people.items() if matched == rule else few.items():
                answer = caller.ask(method, path)
                asked += 1
                told = (method, path, name, answer.status_code)
                if not taken:
                    assert answer.status_code in (401, 403, 405, 501), told
                elif listed is None:
                    assert method == "OPTIONS", told
                    if name in ("nobody", "ended", "disabled", "wrong token") and not _is_public(rule):
                        assert answer.status_code == 401, told
                else:
                    allowed = MAY[listed] | (
                        {"wrong csrf"} if method in ("GET", "HEAD") and "owner" in MAY[listed] else set()
                    )
                    assert (answer.status_code == REACHED) is (name in allowed), told
                    if name not in allowed:
                        assert answer.status_code in (401, 403, 404), told
    assert asked > 500


def _is_public(rule: str) -> bool:
    return any(may == "public" and path == rule for (_, path), may in ROUTES.items())


def test_who_is_refused_learns_no_more_than_they_may(rig: Rig, people: dict[str, Caller]) -> None:
    (path,) = [path for rule, methods, path in _addresses(rig) if rule == P and "GET" in methods]
    assert people["nobody"].refused("GET", path) == (401, "SIGN_IN")
    assert people["nobody"].refused("GET", "/studio/v1/no/such/address") == (401, "SIGN_IN")
    assert people["nobody"].refused("DELETE", "/studio/v1/projects") == (401, "SIGN_IN")
    assert people["stranger"].refused("GET", path) == (404, "PROJECT_NOT_FOUND")
    assert people["stranger"].refused("DELETE", path) == (404, "PROJECT_NOT_FOUND")
    assert people["elsewhere"].refused("GET", path) == (404, "PROJECT_NOT_FOUND")
    assert people["viewer"].refused("DELETE", path) == (403, "PRIVILEGE_MISSING")
    assert people["token read"].refused("DELETE", path) == (403, "SCOPE_MISSING")
    assert people["token admin"].refused("GET", "/studio/v1/tokens") == (403, "SESSION_NEEDED")
    assert people["wrong csrf"].refused("DELETE", path) == (403, "CSRF_INVALID")
    assert people["ended"].refused("GET", path) == (401, "SESSION_ENDED")
    assert people["wrong token"].refused("GET", path) == (401, "TOKEN_INVALID")


def test_a_token_never_allows_more_than_its_user(rig: Rig, people: dict[str, Caller]) -> None:
    (path,) = [path for rule, methods, path in _addresses(rig) if rule == P and "GET" in methods]
    viewer = rig.by_token("viewer", Scope.ADMIN)
    assert viewer.ask("GET", path).status_code == REACHED
    assert viewer.refused("DELETE", path) == (403, "PRIVILEGE_MISSING")
    assert rig.by_token("admin", Scope.READ).refused("GET", "/studio/v1/users") == (403, "SCOPE_MISSING")
    assert rig.by_token("admin", Scope.ADMIN).ask("GET", "/studio/v1/users").status_code == REACHED


def test_addresses_that_play_tricks_are_refused(rig: Rig) -> None:
    for path in ("/studio/v1/projects/..%2fusers", "/studio/v1/%2e%2e/x", "/studio/v1/a%5Cb", "/studio/v1/a%00",
                 "/studio/v1/a;b", "/studio/v1/a%253b", "/studio/v1/./projects", "/studio/v1/a%ff"):  # fmt: skip
        answer = rig.app.test_client().get("/", environ_overrides={"RAW_URI": path})
        assert (answer.status_code, answer.json["code"]) == (400, "ADDRESS_INVALID"), path  # type: ignore[index]


def test_a_view_without_a_rule_stops_the_app_from_being_made(rig: Rig) -> None:
    bare = type(rig.app)("bare", static_folder=None)
    bare.add_url_rule("/studio/secret", view_func=lambda: "", endpoint="secret")
    with pytest.raises(ConfigurationError, match="secret"):
        register_guard(bare)


def test_the_public_views_are_these_and_no_others(rig: Rig) -> None:
    public = {rule.rule for rule in rig.app.url_map.iter_rules()
              if rule_of_view(rule.endpoint, rig.app.view_functions[rule.endpoint]).open}  # fmt: skip
    assert public == {
        "/health/live", "/health/ready", "/openapi.json", "/studio/v1/start", "/studio/v1/setup",
        "/studio/v1/password", "/studio/v1/password/link", "/studio/v1/session",
    }  # fmt: skip
