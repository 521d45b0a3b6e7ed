"""Write the OpenAPI 3.1 document of an app: its routes, each with the description that stands at its view.

In this order: collect the types of all bodies, let pydantic make their schemas in one go, then write the operations.
What is the app's own, and not a view's, comes in as an Outline. Opens nothing.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any, get_args, get_origin, get_type_hints

from flask import Flask, Response
from pydantic import BaseModel, TypeAdapter
from werkzeug.routing import Rule
from werkzeug.wrappers import Response as BaseResponse

from server.errors import ConfigurationError
from server.openapi.describe import Answer, Content, Description, Schema, description_of
from server.openapi.problems import Meaning, by_status
from server.problems import MEDIA_TYPE, RETRY_LATER, ProblemDocument

OPENAPI = "3.1.0"
_PLACEHOLDER = re.compile(r"<(?:\w+:)?(\w+)>")
_REFERENCE = "#/components/schemas/{model}"


@dataclass(frozen=True, slots=True)
class Key:
    """What opens a call. role: of the token, "" where any will do.  optional: it is open without one too.

    schemes: of Outline.security, those that open it; none named: each of them.
    """

    role: str
    optional: bool = False
    schemes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outline:
    """What an app says beside its views.

    path_parameters: name -> what it is, an example, its schema.  static: of files, None where there are none.
    key_of: endpoint and view -> what opens it; None for a public one.
    problems: every code.  always: codes that any call can bring.  closed: those of calls that a key opens.
    """

    info: Mapping[str, Any]
    tags: Sequence[Mapping[str, str]]
    headers: Mapping[str, Any]
    security: Mapping[str, Any]
    path_parameters: Mapping[str, tuple[str, str, Schema]]
    static: Description | None
    key_of: Callable[[str, Callable[..., Any]], Key | None]
    problems: Mapping[str, Meaning]
    always: Collection[str]
    closed: Collection[str]


@dataclass(frozen=True, slots=True)
class Call:
    """A route with what is known of it. answers: status -> Answer, the annotation's among them."""

    path: str
    rule: Rule
    text: str
    told: Description
    key: Key | None
    answers: dict[int, Answer]


def check_described(app: Flask) -> None:
    """Raises ConfigurationError for a view that says nothing of itself, and for two types of one name in bodies."""
    named: dict[str, type] = {}
    for name, view in app.view_functions.items():
        if name == "static":
            continue
        told = description_of(view)
        if told is None:
            raise ConfigurationError(f"view {name}: expected @described(...), found none.")
        contents = [*told.body, *(one for answer in _answers(view, told).values() for one in answer.content)]
        for content in contents:
            _note_names(content.kind, named)


def _note_names(kind: Any, named: dict[str, type]) -> None:
    """Note a body's type, and those within it. Clients are generated from the names: each means one thing."""
    if isinstance(kind, type) and issubclass(kind, BaseModel | Enum):
        is_new = kind.__name__ not in named
        other = named.setdefault(kind.__name__, kind)
        if other is not kind:
            raise ConfigurationError(
                f"{kind.__module__}.{kind.__name__}: expected a name of its own in the OpenAPI document, found it"
                f" in {other.__module__} too. Rename one."
            )
        if is_new and issubclass(kind, BaseModel):
            for field in kind.model_fields.values():
                _note_names(field.annotation, named)
        return
    for part in get_args(kind):
        _note_names(part, named)


def write_document(app: Flask, version: str, outline: Outline) -> dict[str, Any]:
    """The document as JSON values. version: of this install."""
    calls = list(_calls(app, outline))
    schemas, definitions = _schemas(calls)
    responses: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for call in calls:
        item = paths.setdefault(call.path, {})
        for method in sorted(call.rule.methods or ()):
            item[method.lower()] = _operation(call, method, schemas, responses, outline)
    return {
        "openapi": OPENAPI,
        "info": {**outline.info, "version": version or "0"},
        "servers": [{"url": "/"}],
        "tags": list(outline.tags),
        "paths": paths,
        "components": {
            "schemas": {**definitions, "Problem": _problem_schema()},
            "responses": dict(sorted(responses.items())),
            "headers": dict(outline.headers),
            "securitySchemes": dict(outline.security),
        },
    }


def _calls(app: Flask, outline: Outline) -> Iterator[Call]:
    order = {tag["name"]: place for place, tag in enumerate(outline.tags)}
    found = []
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        told = outline.static if rule.endpoint == "static" else description_of(view)
        assert told is not None  # check_described
        text = "" if rule.endpoint == "static" else _unwrapped(inspect.getdoc(view) or "")
        key = outline.key_of(rule.endpoint, view)
        path = _PLACEHOLDER.sub(r"{\1}", rule.rule)
        found.append(Call(path, rule, text, told, key, _answers(view, told)))
    yield from sorted(found, key=lambda call: order[call.told.group])


def _unwrapped(text: str) -> str:
    """Paragraphs, one a line: what a docstring breaks at its margin is one line."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _answers(view: Callable[..., Any], told: Description) -> dict[int, Answer]:
    kind = get_type_hints(view).get("return")
    if get_origin(kind) is tuple:
        kind = get_args(kind)[0]
    if told.answers or (isinstance(kind, type) and issubclass(kind, str | Response | BaseResponse)):
        return dict(told.answers)
    return {200: Answer("The answer.", (Content("application/json", kind, example=told.example),))}


def _schemas(calls: list[Call]) -> tuple[dict[tuple[Any, str], Any], dict[str, Any]]:
    """(type, mode) -> schema, and the definitions that those refer to."""
    wanted: dict[tuple[Any, str], TypeAdapter[Any]] = {}
    for call in calls:
        bodies = [(content, "validation") for content in call.told.body]
        bodies += [(content, "serialization") for answer in call.answers.values() for content in answer.content]
        for content, mode in bodies:
            if not isinstance(content.kind, dict):
                wanted.setdefault((content.kind, mode), TypeAdapter(content.kind))
    inputs: list[Any] = [(key, key[1], adapter) for key, adapter in wanted.items()]
    made, definitions = TypeAdapter.json_schemas(inputs, ref_template=_REFERENCE)
    return {key: made[key, key[1]] for key in wanted}, definitions.get("$defs", {})  # type: ignore[index]


def _operation(
    call: Call,
    method: str,
    schemas: dict[tuple[Any, str], Any],
    responses: dict[str, Any],
    outline: Outline,
) -> dict[str, Any]:
    told, own = call.told, method not in ("HEAD", "OPTIONS")
    name = call.rule.endpoint.replace(".", "_") + ("_of_version" if "/versions/" in call.path else "")
    codes = {*outline.always, *(told.problems if method != "OPTIONS" else ())}
    if call.key is not None:
        codes |= {*outline.closed}
    if "{" in call.path:
        codes.add("NOT_FOUND")
    operation: dict[str, Any] = {
        "tags": [told.group],
        "summary": told.summary if own else _SUMMARIES[method],
        "operationId": name if own else f"{name}_{method.lower()}",
    }
    if own and call.text:
        operation["description"] = call.text
    parameters = [_path_parameter(call, name, outline) for name in _PLACEHOLDER.findall(call.rule.rule)]
    if method != "OPTIONS":
        parameters += [
            {"name": one.name, "in": one.where, "description": one.text, "schema": one.schema}
            | ({} if one.example is None else {"example": one.example})
            for one in told.parameters
            if one.where != "path"
        ]
    if parameters:
        operation["parameters"] = parameters
    if own and told.samples:
        operation["x-codeSamples"] = [{"lang": lang, "source": source} for lang, source in told.samples.items()]
    if own and told.body:
        operation["requestBody"] = {
            "required": told.body_required,
            "content": {one.media_type: _content(one, schemas, "validation") for one in told.body},
        }
    answers = _OPTIONS if method == "OPTIONS" else call.answers
    written = {str(status): _answer(answer, schemas, bodiless=not own) for status, answer in answers.items()}
    for status, status_codes in by_status(codes, outline.problems).items():
        if str(status) in written:  # readiness answers 503 with a document of its own
            written[str(status)].setdefault("content", {}).update(_problem_content(status, status_codes))
        else:
            written[str(status)] = _problem(
                status, status_codes, responses, outline.problems, bodiless=method == "HEAD"
            )
    operation["responses"] = dict(sorted(written.items()))
    operation["security"] = [] if call.key is None else _security(call.key, outline)
    return operation


def _security(key: Key, outline: Outline) -> list[dict[str, list[str]]]:
    roles = [key.role] if key.role else []
    return [*({scheme: roles} for scheme in key.schemes or outline.security), *([{}] if key.optional else [])]


_SUMMARIES = {"HEAD": "The headers of GET alone", "OPTIONS": "The methods of this address"}
_OPTIONS = {200: Answer("No body; the header Allow names the methods.", headers=("Allow",))}


def _path_parameter(call: Call, name: str, outline: Outline) -> dict[str, Any]:
    own = next((one for one in call.told.parameters if (one.where, one.name) == ("path", name)), None)
    text, example, schema = (own.text, own.example, own.schema) if own else outline.path_parameters[name]
    return {"name": name, "in": "path", "required": True, "description": text, "schema": schema, "example": example}


def _content(content: Content, schemas: dict[tuple[Any, str], Any], mode: str) -> dict[str, Any]:
    schema = content.kind if isinstance(content.kind, dict) else schemas[content.kind, mode]
    written = {"schema": {**schema, **({"description": content.text} if content.text else {})}}
    return written if content.example is None else {**written, "example": content.example}


def _answer(answer: Answer, schemas: dict[tuple[Any, str], Any], *, bodiless: bool) -> dict[str, Any]:
    names = ("X-Request-ID", *answer.headers)
    written: dict[str, Any] = {
        "description": answer.text,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
    }
    if answer.content and not bodiless:
        written["content"] = {one.media_type: _content(one, schemas, "serialization") for one in answer.content}
    return written


def _problem(
    status: int, codes: tuple[str, ...], responses: dict[str, Any], problems: Mapping[str, Meaning], *, bodiless: bool
) -> dict[str, str]:
    """A reference to the response of this status with these codes, which is written down once."""
    names = ["X-Request-ID"]
    names += ["WWW-Authenticate"] if status == 401 else ["Retry-After"] if status in RETRY_LATER else []
    made: dict[str, Any] = {
        "description": HTTPStatus(status).phrase + ". " + " ".join(problems[code].text for code in codes),
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
    }
    if not bodiless:
        made["content"] = _problem_content(status, codes)
    number = 1
    while responses.setdefault(f"Problem{status}.{number}", made) != made:
        number += 1
    return {"$ref": f"#/components/responses/Problem{status}.{number}"}


def _problem_content(status: int, codes: tuple[str, ...]) -> dict[str, Any]:
    narrowed = {"properties": {"status": {"const": status}, "code": {"enum": list(codes)}}}
    return {MEDIA_TYPE: {"schema": {"allOf": [{"$ref": _REFERENCE.format(model="Problem")}, narrowed]}}}


def _problem_schema() -> dict[str, Any]:
    """Of every error; what each field means is said at its type."""
    schema = TypeAdapter(ProblemDocument).json_schema()
    assert set(schema["properties"]) == set(get_type_hints(ProblemDocument))
    return schema
