"""Pages of a running studio in a real browser: signed in, watched, photographed; and real photos to put in."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from real_browser import playwright, watched_page
from running_studio import EMAIL, PASSWORD, RunningStudio

from benchmarks.shared_data import DATASETS
from studio.pages import BUILT

DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}


@contextmanager
def signed_in(
    browser: playwright.Browser, studio: RunningStudio, path: str = "/", *, email: str = EMAIL,
    password: str = PASSWORD, **options: Any,
) -> Iterator[playwright.Page]:  # fmt: skip
    """The page at a path, for a user. options: of the browser's context, like viewport and color_scheme.

    Without a service worker, unless told: what a test refuses or counts are then requests of the page itself.
    """
    options.setdefault("viewport", DESKTOP)
    options.setdefault("service_workers", "block")
    answer = browser.new_context()
    signing = answer.request.post(
        f"{studio.url}/studio/v1/session", data={"email": email, "password": password}
    )  # fmt: skip
    assert signing.ok, signing.text()
    state = answer.storage_state()
    answer.close()
    with watched_page(browser, studio.url + path, studio.url, storage_state=state, **options) as page:
        yield page


def pages_folder() -> Path:
    """The build that the tests look at."""
    return Path(os.environ.get("ONSIGHT_STUDIO_PAGES_FOLDER", BUILT))


def snap(page: playwright.Page, name: str) -> None:
    """A photograph of what one sees, where ONSIGHT_SCREENSHOTS names a folder."""
    folder = os.environ.get("ONSIGHT_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(400)  # transitions
        page.screenshot(path=Path(folder) / f"{name}.png")


def photos(archive: str, per_class: int, classes: tuple[str, ...] = ()) -> bytes:
    """A zip of class folders with some of the shared photos. archive: `trashnet_256` or `sign_digits_64_tiny`.

    classes: names of folders, all where empty. Skips where the photos are not.
    """
    source = DATASETS / f"{archive}.zip"
    if not source.exists():
        pytest.skip(f"needs {source}")
    files, taken = dict[str, bytes](), dict[str, int]()
    with zipfile.ZipFile(source) as given:
        for name in sorted(given.namelist()):
            folder = Path(name).parent.name
            if name.endswith("/") or (classes and folder not in classes) or taken.get(folder, 0) == per_class:
                continue
            if Path(name).suffix.lower() in (".jpg", ".jpeg", ".png"):
                taken[folder] = taken.get(folder, 0) + 1
                files[f"{folder}/{Path(name).name}"] = given.read(name)
    return zip_of(files)


def zip_of(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as out:
        for name, data in files.items():
            out.writestr(name, data)
    return made.getvalue()


def upload(studio: RunningStudio, project: str, archive: bytes) -> Any:
    """A zip of class folders into a project, by the API. Returns the report."""
    headers = {"X-Auth-token": studio.token, "Content-Type": "application/zip"}
    path = f"/studio/v1/projects/{project}/images?folder_labels=true"
    answer = studio.ask("POST", path, archive, headers)
    assert answer.status == 200, answer.body
    return answer.json
