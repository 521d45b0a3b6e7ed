"""Write `docs/configuration.md` from the settings classes, so that it cannot differ from them.

`python -m onsight.configuration docs/configuration.md` writes the file; a test compares it.
"""

from __future__ import annotations

import sys
import types
import typing
from pathlib import Path
from typing import Any

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from server.settings import ServerSettings
from studio.settings import StudioSettings

INTRODUCTION = """# Configuration

This page is generated from the settings classes (`python -m onsight.configuration docs/configuration.md`); a test fails
when it differs from them. Every setting is an environment variable. Where a command has an option of the same name, the
option wins.
"""
SECTIONS: tuple[tuple[str, type[BaseSettings]], ...] = (
    ("The server: `onsight serve`", ServerSettings),
    ("The studio: `onsight studio`", StudioSettings),
)


def render_configuration() -> str:
    """The whole page, as Markdown."""
    parts = [INTRODUCTION]
    for title, settings in SECTIONS:
        prefix = settings.model_config.get("env_prefix", "")
        parts.append(f"\n## {title}\n\n| variable | type | default | meaning |\n|---|---|---|---|\n")
        parts.extend(_row(_variable(prefix, name, field), field) for name, field in settings.model_fields.items())
    return "".join(parts)


def _variable(prefix: str, name: str, field: FieldInfo) -> str:
    return field.validation_alias if isinstance(field.validation_alias, str) else f"{prefix}{name}".upper()


def _row(variable: str, field: FieldInfo) -> str:
    meaning = (field.description or "").replace("|", "\\|")
    return f"| `{variable}` | {_type_name(field)} | {_default(field.default)} | {meaning} |\n"


def _type_name(field: FieldInfo) -> str:
    kind: Any = field.annotation
    if isinstance(kind, types.UnionType):  # `int | None`: the absence shows in the default
        kind = next(part for part in typing.get_args(kind) if part is not types.NoneType)
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return " or ".join(f"`{choice}`" for choice in typing.get_args(kind))
    names = {bool: "true or false", int: "whole number", float: "number", Path: "path", str: "text", tuple: "list"}
    name = names[origin or kind]
    low = next((str(rule.ge) for rule in field.metadata if isinstance(rule, Ge)), None)
    high = next((str(rule.le) for rule in field.metadata if isinstance(rule, Le)), None)
    return f"{name}, {low} to {high}" if low and high else name


def _default(value: object) -> str:
    if value is None:
        return "(see there)"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"
    return f"`{value}`"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render_configuration())
