"""The OpenAPI document says what the server does: every route and method, scope, status, code, schema and example."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from color_bundle import RED
from jsonschema import Draft202012Validator
from pydantic import BaseModel, TypeAdapter
from running_server import ROOT, Served, bare_app
from schemathesis.specs.openapi.definitions import OPENAPI_31

from bundle.errors import OnsightError
from bundle.manifest import ModelVersion
from licenses.errors import EXIT_CODES, LicenseError
from server.auth import rule_of_view
from server.errors import ConfigurationError
from server.hosting.refusals import Refusal
from server.openapi.describe import Answer, Content, described
from server.openapi.document import build_document, check_described
from server.openapi.problems import PROBLEMS
from server.openapi.snippets import ORIGIN
from server.problems import HTTP_DETAILS, STATUS_OF
from server.settings import ServerSettings

APP = bare_app()
DOCUMENT = build_document(APP, "1.2.3")
METHODS = {"get", "head", "post", "put", "patch", "delete", "options", "trace"}
OPERATIONS = {
    (path, method): operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method in METHODS
}


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Of a schema within the document."""
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def test_every_route_and_method_is_in_the_document_and_nothing_else_is() -> None:
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in APP.url_map.iter_rules()
        for method in rule.methods or ()
    }
    assert routes == set(OPERATIONS)
    assert len(routes) >= 80
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("version", ["1", "1.0-rc1", "2.0+cu13"])
def test_a_version_in_an_address_is_any_that_a_manifest_takes(version: str) -> None:
    assert TypeAdapter(ModelVersion).validate_python(version) == version
    path = "/v2/models/{name}/versions/{version}/ready"
    (schema,) = (one["schema"] for one in OPERATIONS[path, "get"]["parameters"] if one["name"] == "version")
    assert validator(schema).is_valid(version)
    for sent in (version, quote(version, safe="")):
        answer = APP.test_client().get(f"/v2/models/trash/versions/{sent}/ready")
        assert answer.json is not None
        assert answer.json["code"] == "TOKEN_MISSING"  # found, and then asked who it is


def test_the_document_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    errors = list(Draft202012Validator(OPENAPI_31).iter_errors(json.loads(json.dumps(DOCUMENT))))
    assert errors == []


def test_every_call_says_what_opens_it() -> None:
    for rule in APP.url_map.iter_rules():
        scope = rule_of_view(rule.endpoint, APP.view_functions[rule.endpoint])
        expected = [] if scope is None else [{"token": [scope.value]}, {"bearer": [scope.value]}]
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method in rule.methods or ():
            operation = OPERATIONS[path, method.lower()]
            assert operation["security"] == expected, path
            assert ("401" in operation["responses"]) is (scope is not None)


def test_where_the_operator_lets_this_machine_in_the_document_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONSIGHT_ALLOW_ANONYMOUS_LOOPBACK", "true")
    document = build_document(bare_app(), "")
    assert {} in document["paths"]["/v1/models"]["get"]["security"]
    assert {} not in document["paths"]["/metrics"]["get"]["security"]


def test_a_view_without_a_description_stops_the_app_from_being_made() -> None:
    app = bare_app()
    app.view_functions["secret.door"] = lambda: ""
    with pytest.raises(ConfigurationError, match=r"secret\.door"):
        check_described(app)


def test_two_types_of_one_name_stop_the_app_from_being_made() -> None:
    app = bare_app()
    for number in range(2):
        kind = type("Twice", (BaseModel,), {"__annotations__": {"number": int}})
        view = described("Health", "A call", answers={200: Answer("One.", (Content("application/json", list[kind]),))})(  # type: ignore[valid-type]
            lambda: ""
        )
        app.view_functions[f"twice.{number}"] = view
    with pytest.raises(ConfigurationError, match=r"Twice.*Rename one"):
        check_described(app)


def examples() -> list[tuple[str, dict[str, Any], Any]]:
    """Where, schema, example."""
    found = []
    for (path, method), operation in OPERATIONS.items():
        bodies = [("request", operation.get("requestBody", {}).get("content", {}))]
        bodies += [(status, each.get("content", {})) for status, each in operation["responses"].items()]
        for place, content in bodies:
            found += [
                (f"{method} {path} {place} {kind}", one["schema"], one["example"])
                for kind, one in content.items()
                if "example" in one
            ]
        found += [
            (f"{method} {path} {one['name']}", one["schema"], one["example"])
            for one in operation.get("parameters", ())
            if "example" in one
        ]
    return found


def test_every_example_fits_its_schema() -> None:
    assert len(examples()) >= 60
    for place, schema, example in examples():
        assert list(validator(schema).iter_errors(example)) == [], place


def test_every_call_with_json_shows_an_answer() -> None:
    for (path, method), operation in OPERATIONS.items():
        if method in ("get", "post") and path != "/openapi.json":
            for status, answer in operation["responses"].items():
                for kind, one in answer.get("content", {}).items():
                    assert kind != "application/json" or "example" in one, (path, status)


# ---------------------------------------------------------------- codes


def raised_codes() -> set[tuple[int, str]]:
    """Status and code of every Problem that the source makes, and of every error that becomes one."""
    found = {(int(status), code) for status, (code, _) in HTTP_DETAILS.items()}
    found |= {(int(refusal.status), refusal.code) for refusal in Refusal}
    for file in (ROOT / "server").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem":
                status, code = node.args[:2]
                if isinstance(status, ast.Constant) and isinstance(code, ast.Constant):
                    found.add((status.value, code.value))
    found |= {(403, code) for code in EXIT_CODES}  # of LicenseError, whose instances have codes of their own
    for kind in subclasses(OnsightError) - {LicenseError}:
        status = next((status for base, status in STATUS_OF if issubclass(kind, base)), None)
        if status is not None:
            found.add((int(status), kind.code))
    # errors that `problem_of` gives a status of its own
    return found | {(503, "TOKEN_STORE"), (500, "ENGINE"), (500, "ENGINE_DEVICE")}


def subclasses(kind: type[OnsightError]) -> set[type[OnsightError]]:
    return {kind}.union(*(subclasses(each) for each in kind.__subclasses__()))


# Bases that nobody raises themselves, and errors that end before a client could see them.
NEVER_SENT = {"OVERLOADED"}


def test_every_code_that_the_server_can_send_is_described_and_no_other() -> None:
    described = {(status, code) for code, meaning in PROBLEMS.items() for status in meaning.statuses}
    raised = {(status, code) for status, code in raised_codes() if code not in NEVER_SENT}
    assert raised - described == set(), "not described in server/openapi/problems.py"
    assert described - raised == set(), "described, but nobody raises it"
    assert all(HTTPStatus(status) for status, _ in described)


def test_every_code_stands_at_some_call() -> None:
    named = set()
    for response in DOCUMENT["components"]["responses"].values():
        for part in response.get("content", {}).get("application/problem+json", {}).get("schema", {}).get("allOf", ()):
            named.update(part.get("properties", {}).get("code", {}).get("enum", ()))
    assert named == set(PROBLEMS) - {"METHOD_NOT_ALLOWED"}  # that is the answer of a call that there is not


# ---------------------------------------------------------------- served


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
def test_document_and_page_are_public_have_an_etag_and_hold_no_secret(served: Served, path: str) -> None:
    first = served.server.ask("GET", path)
    assert first.status == 200
    assert first.headers["Cache-Control"] == "no-cache"
    again = served.server.ask("GET", path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert served.server.ask("GET", path, headers={"If-None-Match": '"other"'}).body == first.body
    head = served.server.ask("HEAD", path)
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", first.headers["ETag"])
    text = first.body.decode()
    for secret in (*served.tokens.values(), "colours", "goods", str(served.install.home.path), str(ROOT)):
        assert secret not in text


def test_the_served_document_is_the_one_that_is_tested(served: Served) -> None:
    document = served.server.ask("GET", "/openapi.json").json
    assert document["info"]["version"]
    assert {**document, "info": 0} == {**json.loads(json.dumps(DOCUMENT)), "info": 0}


def test_the_page_names_every_call_and_nothing_from_elsewhere(served: Served) -> None:
    page = served.server.ask("GET", "/docs")
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    text = page.body.decode()
    plain = re.sub(r"<wbr>|</?i>", "", text)
    for path in DOCUMENT["paths"]:
        assert f">{path}</code>" in plain, path
    for code in PROBLEMS.keys() - {"METHOD_NOT_ALLOWED"}:
        assert f"<code>{code}</code>" in text, code
    assert not re.search(r"<script(?! type=\"module\" src=\"/static/)|<style|\son\w+=|\sstyle=", text)
    for name in ("docs.css", "docs.js", "page.js"):
        text += served.server.ask("GET", f"/static/{name}").body.decode()
    assert set(re.findall(r"https?://[^\s\"'<>`$&;\\/]+", text)) <= {ORIGIN, "http://www.w3.org"}


# ---------------------------------------------------------------- manual


def test_the_manual_names_every_call_and_every_code_and_no_others() -> None:
    manual = (ROOT / "docs" / "api.md").read_text()
    calls = {f"{method.upper()} {path}" for path, method in OPERATIONS if method in ("get", "post")}
    assert set(re.findall(r"`((?:GET|POST|PUT|DELETE|PATCH) /[^`?]*)`", manual)) == calls
    rows = {
        (int(status), code)
        for status, codes in re.findall(r"^\| (\d{3}) \| (.*) \|$", manual, re.MULTILINE)
        for code in re.findall(r"[A-Z0-9_]+", codes)
    }
    assert rows == {(status, code) for code, meaning in PROBLEMS.items() for status in meaning.statuses}


# ---------------------------------------------------------------- programs


def programs(served: Served, path: str, method: str) -> dict[str, str]:
    """Language -> the page's program for one call, with this server and its model in place of the examples."""
    from server.openapi.page import page_of

    calls = [call for group in page_of(DOCUMENT).groups for call in group.calls]
    call = next(call for call in calls if (call.path, call.method) == (path, method))
    return {
        language: source.replace(ORIGIN, served.server.url)
        .replace("localhost:8000", served.server.url.removeprefix("http://"))
        .replace("/trash", "/colours")
        .replace('"trash"', '"colours"')
        for language, source in call.programs.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        ("/api/predict/{project}/{model}", "POST", "red"),
        ("/v1/predict/{project}/{name}", "POST", "red"),
        ("/v1/models/{project}/{name}", "GET", "golden_difference"),
        ("/v2/repository/index", "POST", "READY"),
        ("/metrics", "GET", "nv_inference_count"),
        ("/health/live", "GET", "live"),
        ("/v2/models/{name}/infer", "POST", "red"),
    ],
)
def test_the_programs_on_the_page_run(served: Served, path: str, method: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(RED)
    scope = OPERATIONS[path, method.lower()]["security"]
    token = served.tokens[scope[0]["token"][0]] if scope else ""
    commands = {
        "curl": ["sh", "-c"],
        "Python": [sys.executable, "-c"],
        "JavaScript": ["node", "--input-type=module", "-e"],
        "tritonclient": [sys.executable, "-c"],
        "onsight": [sys.executable, "-c"],
    }
    for language, source in programs(served, path, method).items():
        if path.endswith("/infer") and language != "tritonclient":
            continue  # their pixels are those of a smaller image than the model takes
        result = subprocess.run(
            [*commands[language], source],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "ONSIGHT_TOKEN": token},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert expected in result.stdout, (language, source, result.stdout, result.stderr)


def test_settings_that_the_errors_name_exist() -> None:
    names = {name for meaning in PROBLEMS.values() for name in re.findall(r"ONSIGHT_[A-Z_]+", meaning.text)}
    assert names
    assert {name.removeprefix("ONSIGHT_").lower() for name in names} <= set(ServerSettings.model_fields)
