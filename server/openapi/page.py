"""The OpenAPI document as the page `/docs` shows it: groups of calls, flat rows in place of schemas, programs to copy.

A pure function of the document. HEAD and OPTIONS are left to one sentence on the page, and the errors that every call
can bring to one table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from server.openapi.problems import PROBLEMS, TOKEN, TRANSPORT, by_status
from server.openapi.snippets import Request, snippets

_MAX_DEPTH = 4
_RAW = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Row:
    """A parameter, or a field of a body; nested names as `scores[].label`."""

    name: str
    kind: str
    text: str
    optional: bool = False
    where: str = ""
    example: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    media_type: str
    text: str
    rows: tuple[Row, ...]
    example: str


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer."""

    status: int
    text: str
    bodies: tuple[Body, ...]


@dataclass(frozen=True, slots=True)
class Error:
    status: int
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class ShownCall:
    """scope: "" for a public call.  also: other addresses of the same call.  takes_file: try it with a file's bytes.

    may_try: the page can make this call for its visitor: it changes nothing, and answers text or JSON.
    """

    id: str
    method: str
    path: str
    summary: str
    text: str
    scope: str
    also: list[str]
    parameters: tuple[Row, ...]
    bodies: tuple[Body, ...]
    answers: tuple[Shown, ...]
    errors: tuple[Error, ...]
    programs: Mapping[str, str]
    takes_file: bool
    may_try: bool


@dataclass(frozen=True, slots=True)
class ShownGroup:
    id: str
    name: str
    text: str
    calls: list[ShownCall] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Page:
    text: str
    groups: tuple[ShownGroup, ...]
    common_errors: tuple[Error, ...]


def page_of(document: Mapping[str, Any]) -> Page:
    """document: of `build_document`."""
    groups = {tag["name"]: ShownGroup(_slug(tag["name"]), tag["name"], tag["description"]) for tag in document["tags"]}
    calls: dict[str, ShownCall] = {}
    for path, item in document["paths"].items():
        for method in ("get", "post"):
            if method not in item:
                continue
            operation = item[method]
            same = calls.get(operation["operationId"].removesuffix("_of_version"))
            if same is not None:
                same.also.append(path)
                continue
            call = _call(document, path, method.upper(), operation)
            calls[call.id] = call
            groups[operation["tags"][0]].calls.append(call)
    common = tuple(_errors((*TRANSPORT, *TOKEN)))
    return Page(document["info"]["description"], tuple(groups.values()), common)


def _call(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> ShownCall:
    security = operation["security"]
    parameters = operation.get("parameters", [])
    content = operation.get("requestBody", {}).get("content", {})
    answers = tuple(_answers(document, operation["responses"]))
    media_types = {body.media_type for answer in answers for body in answer.bodies}
    takes_file = _RAW in content and "multipart/form-data" in content
    example = next((one["example"] for one in content.values() if "example" in one), None)
    filled = re.sub(
        r"\{(\w+)\}", lambda found: str(next(one["example"] for one in parameters if one["name"] == found[1])), path
    )
    programs = snippets(
        Request(
            method,
            filled,
            bool(security),
            Request.FILE if takes_file else example,
            text_answer="application/json" not in media_types,
        )
    )
    codes = [
        code
        for response in operation["responses"].values()
        for code in _codes(document, response)
        if code not in TRANSPORT and code not in TOKEN
    ]
    return ShownCall(
        id=operation["operationId"],
        method=method,
        path=path,
        summary=operation["summary"],
        text=operation.get("description", ""),
        scope=next((roles[0] for one in security for roles in one.values()), ""),
        also=[],
        parameters=tuple(_parameter(one) for one in parameters),
        bodies=tuple(_bodies(document, content)),
        answers=answers,
        errors=tuple(_errors(codes)),
        programs={**programs, **{one["lang"]: one["source"] for one in operation.get("x-codeSamples", ())}},
        takes_file=takes_file,
        may_try=(method == "GET" or takes_file) and bool(media_types & {"application/json", "text/plain"}),
    )


def _parameter(one: Mapping[str, Any]) -> Row:
    schema = one["schema"]
    kind = "text" if "pattern" in schema and schema.get("type") == "string" else _kind(schema)
    return Row(one["name"], kind, one["description"], not one.get("required"), one["in"], str(one.get("example", "")))


def _answers(document: Mapping[str, Any], responses: Mapping[str, Any]) -> Iterator[Shown]:
    for status, response in responses.items():
        if "$ref" in response or not status.isdigit():
            continue
        content = {kind: one for kind, one in response.get("content", {}).items() if "problem" not in kind}
        yield Shown(int(status), response["description"], tuple(_bodies(document, content)))


def _bodies(document: Mapping[str, Any], content: Mapping[str, Any]) -> Iterator[Body]:
    for media_type, one in content.items():
        schema = one["schema"]
        example = one.get("example")
        shown = example if isinstance(example, str) else "" if example is None else json.dumps(example, indent=2)
        yield Body(media_type, schema.get("description", ""), tuple(_rows(document, schema)), _compact(shown))


def _compact(text: str) -> str:
    """Innermost lists and objects that fit on a line, on a line."""
    before = ""
    while before != text:
        before = text
        text = re.sub(
            r"([\[{])\n\s*([^\[\]{}]*?)\n\s*([\]}])",
            lambda found: _joined(found) if len(_joined(found)) <= 64 else found[0],
            text,
        )
    return text


def _joined(found: re.Match[str]) -> str:
    inner = " ".join(line.strip() for line in found[2].splitlines())
    return f"[{inner}]" if found[1] == "[" else f"{{ {inner} }}"


def _codes(document: Mapping[str, Any], response: Mapping[str, Any]) -> Iterator[str]:
    content = _resolved(document, response).get("content", {})
    for part in content.get("application/problem+json", {}).get("schema", {}).get("allOf", ()):
        yield from part.get("properties", {}).get("code", {}).get("enum", ())


def _errors(codes: Any) -> Iterator[Error]:
    for status, found in by_status(codes).items():
        for code in found:
            yield Error(status, code, PROBLEMS[code].text)


def _rows(document: Mapping[str, Any], schema: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[Row]:
    """The fields below a schema, each once."""
    schema = _resolved(document, schema)
    if depth >= _MAX_DEPTH:
        return
    seen: set[str] = set()
    for option in schema.get("anyOf", ()):
        for row in _rows(document, option, prefix, depth):
            if row.name not in seen:
                seen.add(row.name)
                yield row
    if schema.get("type") == "array":
        yield from _rows(document, schema.get("items", {}), f"{prefix}[]", depth)
    required = schema.get("required", ())
    for name, one in schema.get("properties", {}).items():
        full = f"{prefix}.{name}" if prefix else name
        target = _resolved(document, one)
        text = one.get("description") or target.get("description", "")
        yield Row(full, _kind(one, document), text, name not in required)
        yield from _rows(document, one, full, depth + 1)


def _kind(schema: Mapping[str, Any], document: Mapping[str, Any] | None = None) -> str:
    """A schema's type in a word or two."""
    schema = _resolved(document, schema) if document else schema
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(str(each) for each in schema["enum"] if each != "")
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_kind(each, document) for each in schema["anyOf"]))
    if schema.get("format") == "binary":
        return "bytes"
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}), document)}"
    names = {"string": "text", "integer": "whole number", "boolean": "true | false", None: "any"}
    kind = schema.get("type")
    return names.get(kind, str(kind))


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
