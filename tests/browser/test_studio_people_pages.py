"""The studio's pages about people, in a real browser: first start, signing in, sharing, tokens, users."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_browser import BROWSER_MARKS, playwright, watched_page
from running_studio import EMAIL, PASSWORD, RunningStudio
from studio_page import DESKTOP, PHONE, signed_in, snap

from studio.access.privileges import OF_PROJECT_ROLE, PROJECT_PRIVILEGES, Privilege, ProjectRole

pytestmark = BROWSER_MARKS
expect = playwright.expect
V1 = "/studio/v1"


@pytest.fixture
def new_studio(studio: RunningStudio, tmp_path: Path) -> Iterator[RunningStudio]:
    """Nobody has set it up. studio: whose pages it shows."""
    new = RunningStudio(tmp_path / "home", studio.environment)
    try:
        new.start()
        yield new
    finally:
        new.kill()


def path_of(link: str) -> str:
    return re.sub(r"^https?://[^/]+", "", link)


def invite(studio: RunningStudio, name: str, role: str = "member") -> tuple[str, str]:
    """Their id, and the path of their link."""
    invited = studio.call("POST", f"{V1}/users", {"email": f"{name}@example.org", "name": name, "role": role})
    return invited["user"]["id"], path_of(invited["link"])


def test_the_printed_link_makes_the_first_admin_once(browser: playwright.Browser, new_studio: RunningStudio) -> None:
    link = path_of(re.findall(r"http\S+/setup#\S+", new_studio.log.read_text())[-1])
    secret = link.partition("#")[2]
    with watched_page(browser, new_studio.url, new_studio.url, viewport=DESKTOP) as page:
        expect(page.get_by_text("has no user yet")).to_be_visible()
        page.goto(new_studio.url + link)
        page.get_by_label("Name").fill("Ada")
        page.get_by_label("E-mail").fill("ada@example.org")
        page.get_by_label("Password").fill("short")
        expect(page.get_by_text("Too short")).to_be_visible()
        page.get_by_label("Password").fill(PASSWORD)
        expect(page.get_by_text("Strong")).to_be_visible()
        assert secret not in page.url
        snap(page, "set-up")
        page.get_by_role("button", name="Create account").click()
        page.get_by_role("button", name="New project").click()
        page.get_by_label("Name").fill("Trash")
        page.get_by_role("button", name="Create").click()
        expect(page).to_have_url(re.compile(r"/p/\w+/images$"))
        expect(page).to_have_title("Images · Trash · Onsight")
        page.go_back()
        expect(page.get_by_role("link", name="Trash")).to_be_visible()
        assert secret not in page.evaluate("JSON.stringify([localStorage, sessionStorage, history.state])")
    with watched_page(browser, new_studio.url + link, new_studio.url) as page:
        expect(page.get_by_text("This studio is set up")).to_be_visible()


def test_an_invited_user_chooses_a_password_and_sees_what_a_viewer_may(
    browser: playwright.Browser, studio: RunningStudio
) -> None:
    project = studio.call("POST", f"{V1}/projects", {"name": "Shared bottles"})["id"]
    with signed_in(browser, studio, "/admin/users") as admin:
        admin.get_by_role("button", name="Invite").click()
        admin.get_by_label("Name").fill("Grace")
        admin.get_by_label("E-mail").fill("grace@example.org")
        admin.get_by_role("button", name="Make invitation").click()
        link = path_of(admin.get_by_label("Link", exact=True).inner_text())
        admin.get_by_role("button", name="Done").click()
        expect(admin.get_by_text("Invited", exact=True)).to_be_visible()
        with watched_page(browser, studio.url + link, studio.url, viewport=DESKTOP) as guest:
            expect(guest.get_by_role("heading", name="Welcome, Grace")).to_be_visible()
            expect(guest.get_by_label("E-mail")).to_have_value("grace@example.org")
            assert link.partition("#")[2] not in guest.url
            guest.get_by_label("Password").fill("another horse entirely")
            guest.get_by_role("button", name="Save and sign in").click()
            expect(guest.get_by_text("five steps")).to_be_visible()
            admin.goto(f"{studio.url}/p/{project}/settings?tab=members")
            admin.get_by_role("button", name="Add member").click()
            admin.get_by_label("E-mail").fill("grace@example.org")
            admin.get_by_role("radio", name="Viewer").click()
            admin.get_by_role("button", name="Add", exact=True).click()
            expect(admin.get_by_text("grace@example.org", exact=True)).to_be_visible()
            admin.get_by_role("link", name="Images").click()
            expect(admin.get_by_role("button", name=re.compile("^Upload")).first).to_be_visible()
            guest.reload()
            guest.get_by_role("link", name="Shared bottles").click()
            expect(guest.get_by_text("An editor or owner of the project can upload some.")).to_be_visible()
            expect(guest.get_by_role("button", name=re.compile("^Upload"))).to_have_count(0)
            guest.get_by_role("link", name=re.compile("^Train not allowed")).click()
            expect(guest.get_by_text("that needs the privilege “train”")).to_be_visible()
            guest.get_by_role("link", name="Project", exact=True).click()
            expect(guest.get_by_text("Only an owner can rename")).to_be_visible()
            expect(guest.get_by_role("button", name="Delete project")).to_have_count(0)
            guest.get_by_role("tab", name="Members").click()
            expect(guest.get_by_text("Grace (you)")).to_be_visible()
            expect(guest.get_by_role("button", name="Add member")).to_have_count(0)
            guest.goto(f"{studio.url}/admin/users")
            expect(guest.get_by_text("This page is for admins")).to_be_visible()
    with watched_page(browser, studio.url + link, studio.url) as late:
        expect(late.get_by_text("This link does not work any more")).to_be_visible()


def test_each_role_comes_with_the_privileges_that_the_studio_gives_it(
    browser: playwright.Browser, studio: RunningStudio
) -> None:
    project = studio.call("POST", f"{V1}/projects", {"name": "Roles"})["id"]
    given = PROJECT_PRIVILEGES - {Privilege.VIEW, Privilege.OWN}  # which are of every role, and of owners alone
    with signed_in(browser, studio, f"/p/{project}/settings?tab=members") as page:
        page.get_by_role("button", name="Add member").click()
        ticks = page.get_by_role("group", name="May also").get_by_role("checkbox")
        for role in ProjectRole:
            page.get_by_role("radio", name=role.value.capitalize()).click()
            expect(page.get_by_role("radio", name=role.value.capitalize())).to_be_checked()
            found = {tick.get_attribute("value"): tick.is_disabled() and tick.is_checked() for tick in ticks.all()}
            assert found == {privilege.value: privilege in OF_PROJECT_ROLE[role] for privilege in given}


def test_a_token_is_shown_once_and_works_until_it_is_revoked(
    browser: playwright.Browser, studio: RunningStudio
) -> None:
    with signed_in(browser, studio, "/profile") as page:
        page.get_by_role("button", name="New token").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Name").fill("camera")
        dialog.get_by_role("button", name="Make token").click()
        expect(dialog.get_by_text("Tick at least one")).to_be_visible()
        dialog.get_by_label("Read", exact=True).check()
        dialog.get_by_role("button", name="Make token").click()
        token = dialog.get_by_label("Token", exact=True).inner_text()
        dialog.get_by_role("button", name="Done").click()
        expect(page.get_by_text("camera", exact=True)).to_be_visible()
        assert token not in page.content()
        headers = {"X-Auth-token": token, "Content-Type": "application/json"}
        assert studio.ask("GET", f"{V1}/projects", headers=headers).status == 200
        refused = studio.ask("POST", f"{V1}/projects", b'{"name": "p"}', headers)
        assert (refused.status, refused.json["code"]) == (403, "SCOPE_MISSING")
        page.get_by_role("button", name="Revoke camera").click()
        page.get_by_role("dialog").get_by_role("button", name="Revoke", exact=True).click()
        expect(page.get_by_text("does not work any more")).to_be_visible()
        assert studio.ask("GET", f"{V1}/projects", headers=headers).status == 401


def test_the_keyboard_alone_signs_in_after_a_wrong_password_and_out_again(
    browser: playwright.Browser, studio: RunningStudio
) -> None:
    with watched_page(browser, f"{studio.url}/profile", studio.url, viewport=DESKTOP) as page:
        expect(page.get_by_label("E-mail")).to_be_focused()
        page.keyboard.type(EMAIL)
        page.keyboard.press("Tab")
        page.keyboard.type("not the password")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("do not go together")
        expect(page.get_by_label("Password")).to_be_focused()
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Profile")).to_be_visible()
        page.reload()
        expect(page.get_by_role("heading", name="Profile")).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="To the content")).to_be_focused()
        page.get_by_role("button", name="Account").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("menu").locator("[data-autofocus]")).to_be_focused()
        page.keyboard.press("ArrowDown")
        expect(page.get_by_role("menuitem", name="Profile and tokens")).to_be_focused()
        page.keyboard.press("ArrowUp")
        expect(page.get_by_role("menuitem", name="Sign out")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        assert "onsight_csrf" not in page.evaluate("document.cookie")


def test_too_many_wrong_passwords_name_the_time_to_come_back(
    browser: playwright.Browser, studio: RunningStudio
) -> None:
    wrong = f'{{"email": "{EMAIL.replace("admin", "nobody")}", "password": "x"}}'.encode()
    for _ in range(10):
        studio.ask("POST", f"{V1}/session", wrong, {"Content-Type": "application/json"})
    with watched_page(browser, studio.url, studio.url) as page:
        page.get_by_label("E-mail").fill(EMAIL.replace("admin", "nobody"))
        page.get_by_label("Password").fill("x")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("Try again in 10 min, at ")
        page.get_by_role("button", name="Forgotten").click()
        expect(page.get_by_text("onsight studio link nobody@example.org")).to_be_visible()


def test_the_last_admin_and_the_last_owner_stay_and_a_disabled_user_is_out(
    browser: playwright.Browser, studio: RunningStudio
) -> None:
    project = studio.call("POST", f"{V1}/projects", {"name": "Owned"})["id"]
    _, link = invite(studio, "hopper")
    with (
        watched_page(browser, studio.url + link, studio.url) as hopper,
        signed_in(browser, studio, "/admin/users", viewport=PHONE) as page,
    ):
        hopper.get_by_label("Password").fill("a moth in the relay")
        hopper.get_by_role("button", name="Save and sign in").click()
        expect(hopper.get_by_role("heading", name="Projects")).to_be_visible()
        page.get_by_label("Search users").fill("HOPPER")
        expect(page.get_by_role("list", name="Users").get_by_role("listitem")).to_have_count(1)
        page.get_by_role("button", name="More for hopper").click()
        page.get_by_role("menuitem", name="Disable").click()
        page.get_by_role("dialog").get_by_role("button", name="Disable").click()
        expect(page.get_by_text("Disabled", exact=True)).to_be_visible()
        hopper.get_by_label("Account").click()
        hopper.get_by_role("menuitem", name="Profile and tokens").click()
        expect(hopper.get_by_role("button", name="Sign in")).to_be_visible()
        page.get_by_label("Search users").fill(EMAIL)
        page.get_by_role("button", name="More for Admin").click()
        page.get_by_role("menuitem", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_text("There must be an admin left")).to_be_visible()
        page.goto(f"{studio.url}/p/{project}/settings?tab=members")
        page.get_by_role("button", name="Remove Admin").click()
        page.get_by_role("dialog").get_by_role("button", name="Leave").click()
        expect(page.get_by_text("There must be an owner left")).to_be_visible()
        snap(page, "members")
        page.goto(f"{studio.url}/admin/audit")
        expect(page.get_by_text("changed the user").first).to_be_visible()
        page.get_by_label("Whom or what").fill("hopper")
        expect(page.get_by_text("set up the studio")).to_have_count(0)
        expect(page.get_by_text("disabled: yes")).to_be_visible()


def test_a_project_goes_once_its_name_is_typed(browser: playwright.Browser, studio: RunningStudio) -> None:
    project = studio.call("POST", f"{V1}/projects", {"name": "Old bottles"})["id"]
    with signed_in(browser, studio, f"/p/{project}/settings") as page:
        page.get_by_label("Project name").fill("Older bottles")
        page.get_by_role("button", name="Rename").click()
        expect(page).to_have_title("Project · Older bottles · Onsight")
        page.get_by_role("button", name="Delete project").click()
        gone = page.get_by_role("button", name="Delete for good")
        page.get_by_label("Type the project's name").fill("Old bottles")
        expect(gone).to_be_disabled()
        page.get_by_label("Type the project's name").fill("Older bottles")
        gone.click()
        expect(page.get_by_text("“Older bottles” is deleted.")).to_be_visible()
        page.get_by_label("Search projects").fill("older")
        expect(page.get_by_text("No project is called “older”")).to_be_visible()
        page.goto(f"{studio.url}/p/{project}/images")
        expect(page.get_by_text("There is no such project")).to_be_visible()


def test_a_lost_connection_is_told_until_the_studio_answers_again(
    browser: playwright.Browser, studio: RunningStudio
) -> None:
    studio.call("POST", f"{V1}/projects", {"name": "There"})
    with signed_in(browser, studio, "/") as page:
        expect(page.get_by_role("link", name="There")).to_be_visible()
        page.route("**/studio/**", lambda route: route.abort("connectionrefused"))
        page.get_by_label("Search projects").fill("anything")
        expect(page.get_by_text("No connection to the studio")).to_be_visible()
        page.unroute_all()
        expect(page.get_by_text("No connection to the studio")).to_have_count(0)
        expect(page.get_by_text("No project is called “anything”")).to_be_visible()
        page.goto(f"{studio.url}/no/such/page")
        expect(page.get_by_text("There is no such page")).to_be_visible()
