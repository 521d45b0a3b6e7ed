"""The contract holds: every call of the studio's OpenAPI document, with generated requests, against a real studio.

Schemathesis makes requests that fit the document and requests that do not; none may bring a 5xx, a status, a code, a
header or a content that is not in it. Same requests every time. ONSIGHT_TEST_EXAMPLES=100 for the long run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from running_studio import PASSWORD, RunningStudio, running_studio
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
    unsupported_method,
)
from studio_rig import picture, zipped

from server.openapi.writer import check_described
from studio.app import create_app
from studio.context import StudioContext
from studio.database.engine import Database
from studio.errors import StudioError, StudioSetupError
from studio.images.blobs import RemoteBlobs
from studio.routes.outline import studio_document
from studio.routes.problems import PROBLEMS, STATUS_OF
from studio.settings import StudioSettings

EXAMPLES = int(os.environ.get("ONSIGHT_TEST_EXAMPLES", "1"))
There = tuple[RunningStudio, dict[str, str], dict[str, dict[str, str]]]
ROOT = Path(__file__).resolve().parents[2]


def bare_app() -> Any:
    """The application without anything behind it."""
    blobs = RemoteBlobs("memory://nothing")
    return create_app(StudioContext(StudioSettings(), Database("sqlite:///nowhere.sqlite3"), blobs, blobs))


APP = bare_app()
DOCUMENT = studio_document(APP, "1.2.3")


def document_to_test() -> dict[str, Any]:
    """The document; but answers may hold no field that it does not name: what is published leaves room for more."""
    document = deepcopy(DOCUMENT)
    schemas = document["components"]["schemas"]
    answers = json.dumps([item["responses"] for each in document["paths"].values() for item in each.values()])
    names, before = set(re.findall(r"schemas/(\w+)", answers)), set[str]()
    while names != before:
        before = set(names)
        names |= set(re.findall(r"schemas/(\w+)", json.dumps([schemas[name] for name in names])))
    for name in names | {"Problem"}:
        if "properties" in schemas[name]:
            schemas[name]["additionalProperties"] = False
    return document


SCHEMA = schemathesis.openapi.from_dict(document_to_test())
ARCHIVE = zipped({"1.png": picture(1), "x.png": b"no image"})
schemathesis.openapi.media_type("application/zip", st.one_of(st.just(ARCHIVE), st.binary(max_size=200)))
schemathesis.openapi.media_type("text/csv", st.sampled_from([b"1.png,cat\n", b"", b"\0", b"a,b,c\nd"]))
schemathesis.openapi.media_type("application/octet-stream", st.sampled_from([picture(7), b"", b"no image"]))


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    """A studio, the ids of what is in it, and headers to be used again."""
    with running_studio(tmp_path_factory.mktemp("contract") / "home") as studio:
        project = studio.call("POST", "/studio/v1/projects", {"name": "p"})["id"]
        label = studio.call("POST", f"/studio/v1/projects/{project}/labels", {"name": "cat"})["id"]
        headers = {"X-Auth-token": studio.token, "Content-Type": "application/zip"}
        report = studio.ask("POST", f"/studio/v1/projects/{project}/images", ARCHIVE, headers).json
        user = studio.call("POST", "/studio/v1/users", {"email": "spare@example.org", "name": "Spare"})["user"]["id"]
        ids = {"project": project, "label": label, "image": report["files"][0]["image"], "user": user}
        studio.call("POST", f"/studio/v1/projects/{project}/labelling", {"selection": {"filter": {}}, "add": [label]})
        job = studio.call("POST", f"/studio/v1/projects/{project}/trainings", {"name": "waits for ever"})
        ids |= {"job": job["id"], "dataset": job["dataset"]}
        yield studio, ids | {"image_name": "1.png", "token": "h4sTqXv9b2c"}, {}


def session_headers(studio: RunningStudio) -> dict[str, str]:
    given = {"email": "admin@example.org", "password": PASSWORD}
    headers = {"Content-Type": "application/json"}
    answer = studio.ask("POST", "/studio/v1/session", json.dumps(given).encode(), headers)
    cookies = "; ".join(line.partition(";")[0] for line in answer.headers.get_all("Set-Cookie") or ())
    return {"Cookie": cookies, "X-CSRF-Token": answer.json["csrf_token"]}


@pytest.mark.slow
@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
def test_every_call_keeps_the_contract(case: schemathesis.Case, there: There) -> None:
    studio, ids, kept = there
    for name, value in (case.path_parameters or {}).items():
        if isinstance(value, str) and value.isalnum() and len(value) % 4 != 3:
            case.path_parameters[name] = ids[name]  # three of four that could be one
    if (case.method, case.operation.path) == ("DELETE", "/studio/v1/projects/{project}"):
        case.path_parameters["project"] = studio.call("POST", "/studio/v1/projects", {"name": "gone"})["id"]
    security = case.operation.definition.raw["security"]
    headers = {} if not security else {"X-Auth-token": studio.token}
    if security == [{"session": []}]:
        if "session" not in kept or case.method == "DELETE":  # which may end it
            kept["session"] = session_headers(studio)
        headers = kept["session"]
    excluded = [positive_data_acceptance]  # a link, a digest, an id that fits its schema need not be one that is there
    if security == [{"session": []}]:
        excluded += [negative_data_rejection, ignored_auth]  # which leave the cookie out, and do not know of ours
    if case.operation.path == "/studio/v1/session":
        excluded.append(unsupported_method)  # to whom is not signed in, only what is public there says what there is
    case.call_and_validate(base_url=f"http://127.0.0.1:{studio.port}", headers=headers, timeout=60,
                           excluded_checks=excluded)  # fmt: skip


def test_the_document_is_openapi_3_1_and_holds_every_route() -> None:
    from schemathesis.specs.openapi.definitions import OPENAPI_31

    assert list(Draft202012Validator(OPENAPI_31).iter_errors(json.loads(json.dumps(DOCUMENT)))) == []
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in APP.url_map.iter_rules()
        for method in rule.methods or ()
    }
    assert routes == {(path, method) for path, item in DOCUMENT["paths"].items() for method in item}
    names = [operation["operationId"] for item in DOCUMENT["paths"].values() for operation in item.values()]
    assert len(set(names)) == len(names)
    check_described(APP)


def test_every_code_that_the_studio_raises_is_in_the_list() -> None:
    raised = {kind.code for kind, _ in STATUS_OF}
    raising = r"raise (?:NotFound|Conflict|Invalid|Unauthorised|Forbidden|TooMany)"
    for file in (ROOT / "studio").rglob("*.py"):
        text = file.read_text()
        raised |= set(re.findall(r'Problem\(\s*\d+,\s*"([A-Z_]+)"', text))
        raised |= set(re.findall(raising + r'\([^)]*?"([A-Z_]{4,})"', text))
    assert raised <= set(PROBLEMS)
    assert set(StudioError.__subclasses__()) - {kind for kind, _ in STATUS_OF} == {StudioSetupError}
