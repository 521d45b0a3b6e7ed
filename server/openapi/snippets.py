"""Programs that make one call: curl, Python's standard library, JavaScript. They run as they stand.

The address is that of `http://localhost:8000`; the page puts its own in its place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ORIGIN = "http://localhost:8000"
TOKEN_HEADER = "X-Auth-token"  # noqa: S105 - a header's name
_RAW = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Request:
    """method, path: with its parameters filled in.  with_token: whether it needs one.  body: None for none.

    body: a JSON value, or `Request.FILE` for the bytes of photo.jpg.  text_answer: it is not JSON.
    """

    FILE = "photo.jpg"

    method: str
    path: str
    with_token: bool
    body: Any = None
    text_answer: bool = False


def snippets(request: Request) -> Mapping[str, str]:
    """Language -> program."""
    return {"curl": _curl(request), "Python": _python(request), "JavaScript": _javascript(request)}


def _curl(request: Request) -> str:
    parts = ["curl"]
    if request.with_token:
        parts.append(f'-H "{TOKEN_HEADER}: $ONSIGHT_TOKEN"')
    if request.body is Request.FILE:
        parts.append(f"--data-binary @{Request.FILE}")
    elif request.body is not None:
        parts.append(f"--json '{json.dumps(request.body)}'")
    elif request.method != "GET":
        parts.append(f"-X {request.method}")
    return " \\\n  ".join([" ".join(parts[:2]), *parts[2:], ORIGIN + request.path])


def _python(request: Request) -> str:
    lines = ["import os"] if request.with_token else []
    lines += ["import urllib.request"]
    if not request.text_answer or _is_json(request):
        lines.insert(0, "import json")
    if request.body is Request.FILE:
        lines.append("from pathlib import Path")
    lines += ["", "request = urllib.request.Request(", f'    "{ORIGIN}{request.path}",']
    if request.body is Request.FILE:
        lines.append(f'    data=Path("{Request.FILE}").read_bytes(),')
    elif request.body is not None:
        lines.append(f"    data=json.dumps({_python_value(request.body)}).encode(),")
    headers = [f'"{TOKEN_HEADER}": os.environ["ONSIGHT_TOKEN"]'] if request.with_token else []
    headers += [f'"Content-Type": "{_content_type(request)}"'] if request.body is not None else []
    if headers:
        lines.append(f"    headers={{{', '.join(headers)}}},")
    lines += [f'    method="{request.method}",', ")", "with urllib.request.urlopen(request) as response:"]
    lines.append("    print(response.read().decode())" if request.text_answer else "    print(json.load(response))")
    return "\n".join(lines)


def _javascript(request: Request) -> str:
    lines = ['import { readFile } from "node:fs/promises";', ""] if request.body is Request.FILE else []
    lines += [f'const response = await fetch("{ORIGIN}{request.path}", {{']
    if request.method != "GET":
        lines.append(f'  method: "{request.method}",')
    headers = [f'"{TOKEN_HEADER}": process.env.ONSIGHT_TOKEN'] if request.with_token else []
    headers += [f'"Content-Type": "{_content_type(request)}"'] if request.body is not None else []
    if headers:
        lines.append(f"  headers: {{ {', '.join(headers)} }},")
    if request.body is Request.FILE:
        lines.append(f'  body: await readFile("{Request.FILE}"),')
    elif request.body is not None:
        lines.append(f"  body: JSON.stringify({json.dumps(request.body)}),")
    lines.append("});")
    lines.append(f"console.log(await response.{'text' if request.text_answer else 'json'}());")
    return "\n".join(lines).replace(", {\n});", ");")


def _is_json(request: Request) -> bool:
    return request.body is not None and request.body is not Request.FILE


def _content_type(request: Request) -> str:
    return "application/json" if _is_json(request) else _RAW


def _python_value(value: Any) -> str:
    return repr(value).replace("'", '"')
