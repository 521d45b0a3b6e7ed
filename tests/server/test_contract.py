"""The contract holds: every call of the OpenAPI document, with generated requests, against a real server over HTTP.

Schemathesis makes requests that fit the document and requests that do not; none may bring a 5xx, a status, a code, a
header or a content that is not in it. Same requests every time. ONSIGHT_TEST_EXAMPLES=200 for the long run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
import schemathesis
from color_bundle import BLUE, GREEN, GREY, RED, SIDE
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from running_server import Install, Served, bare_app, running
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from server.openapi.document import build_document
from server.tokens import Scope

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("ONSIGHT_TEST_EXAMPLES", "5"))
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def document_to_test() -> dict[str, Any]:
    """The document; but answers may hold no field that it does not name (what is published leaves room for new ones),
    and the examples, which many requests begin from, are about the models that are there.
    """
    document = deepcopy(build_document(bare_app(), "0"))  # its examples are the views' own
    for path, item in document["paths"].items():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                if parameter.get("example") == "trash":
                    parameter["example"] = "spare" if path.endswith("load") else "colours"
        if path.endswith("/infer"):
            tensor = {"name": "images", "datatype": "UINT8", "shape": [1, SIDE, SIDE, 3], "data": [7] * SIDE * SIDE * 3}
            item["post"]["requestBody"]["content"]["application/json"]["example"]["inputs"] = [tensor]
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

schemathesis.openapi.media_type(
    "application/octet-stream", st.one_of(st.sampled_from([RED, GREEN, BLUE, GREY]), st.binary(max_size=200))
)


@SCHEMA.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Three names of four that could be a model's become those of one that is there."""
    there = {"project": "default", "name": "colours", "model": "colours", "version": "1", "filename": "onsight.css"}
    if "load" in context.operation.path:
        there["name"] = "spare"
    for name, value in (path_parameters or {}).items():
        if isinstance(value, str) and NAME.fullmatch(value) and len(value) % 4 != 3:
            path_parameters[name] = there[name]
    return path_parameters


@pytest.fixture(scope="module")
def asked(new_install: Callable[[], Install], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of its own: its models are loaded and unloaded."""
    install = new_install()
    install.add_bundle()
    install.add_bundle("spare.onsight", name="spare")
    tokens = {scope: install.add_token(scope.value, scope) for scope in Scope}
    with running(install, tmp_path_factory.mktemp("log"), workers="2", max_image_bytes="300000") as server:
        server.wait_for_status(200)
        yield Served(server, install, tokens[Scope.PREDICT], tokens[Scope.ADMIN], tokens)


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
def test_every_call_keeps_the_contract(case: schemathesis.Case, asked: Served) -> None:
    security = case.operation.definition.raw["security"]
    headers = {"X-Auth-token": asked.tokens[Scope(security[0]["token"][0])]} if security else {}
    excluded = []
    if "predict" in case.operation.path or "infer" in case.operation.path:
        excluded.append(positive_data_acceptance)  # bytes that fit the schema need not be an image
    if case.method == "OPTIONS":
        excluded.append(negative_data_rejection)  # tells of the address, whatever the names in it
    case.call_and_validate(base_url=asked.server.url, headers=headers, timeout=60, excluded_checks=excluded)
