"""What comes in and what goes out: JSON bodies and query parameters as pydantic models, answers as theirs.

Everything is checked here once, at the door; what a view gets is of the types that it names.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from flask import request
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.json_schema import SkipJsonSchema

from bundle.reasons import first_complaint
from server.openapi.describe import Answer, Content, Parameter
from server.problems import Problem
from server.uploads import is_json, read_body
from studio.database.paging import MOST_ROWS

MAX_JSON_BYTES = 16 * 1024 * 1024
MOST_IDS = 200_000
JSON = "application/json"


class In(BaseModel):
    """A body or a query that a client sends: no field that is not there."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Out(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(frozen=True)


Model = TypeVar("Model", bound=BaseModel)
PublicId = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,32}$")]
# Names that people type: no control characters, and none of the marks that turn text around.
Name = Annotated[
    str, Field(min_length=1, max_length=200, pattern="^[^\\x00-\\x1f\\x7f\\u202a-\\u202e\\u2066-\\u2069]+$")
]
# In it no control character: what is stripped in one place and not in another would be two addresses of one user.
Email = Annotated[str, Field(max_length=320, pattern="^[^\\x00-\\x1f\\x7f]*$")]
Moment = Annotated[datetime, Field(description="in UTC")]


def _without_zero(text: str) -> str:
    return text.replace("\0", "")  # PostgreSQL takes none, and nothing here has one


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("expected a moment that lies between the years 1 and 9999 in UTC") from error


Part = Annotated[str, AfterValidator(_without_zero)]  # of a text that is looked for
# That a client names in a query; pydantic alone would take the seconds since 1970 as well.
Time = Annotated[AwareDatetime, BeforeValidator(datetime.fromisoformat), AfterValidator(_in_utc)]


class PageQuery(In):
    """Of every list: it is asked for page by page."""

    model_config = ConfigDict(extra="ignore")

    limit: int = Field(default=100, ge=1, le=MOST_ROWS, description="Rows of a page, at most.")
    after: str | SkipJsonSchema[None] = Field(
        default=None, max_length=1000, description="The `next` of the page before; without it the first page comes."
    )


def read_model(kind: type[Model], max_bytes: int = MAX_JSON_BYTES) -> Model:
    """The request's JSON body. Raises Problem."""
    if not is_json(request):
        # Nor could a form of a foreign page send it: browsers ask first before they send JSON elsewhere.
        raise Problem(415, "UNSUPPORTED_MEDIA_TYPE", "Expected a JSON object, with Content-Type: application/json.")
    try:
        return kind.model_validate_json(read_body(request, max_bytes), strict=True)  # false is no number
    except ValidationError as error:
        raise Problem(400, "JSON_INVALID", f"{first_complaint(error)}."[:600]) from error


def read_query(kind: type[Model]) -> Model:
    """The address's query. A field that is a list takes its parameter several times. Raises Problem."""
    values: dict[str, Any] = {}
    for own_name, field in kind.model_fields.items():
        name = field.alias or own_name
        if name in request.args:
            several = str(field.annotation).startswith(("list", "tuple"))
            values[name] = request.args.getlist(name) if several else request.args[name]
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise Problem(400, "PARAMETER_INVALID", f"{first_complaint(error)}."[:600]) from error


def query(kind: type[BaseModel]) -> tuple[Parameter, ...]:
    """The same for the document."""
    document = kind.model_json_schema()
    named = {f"#/$defs/{name}": definition for name, definition in document.get("$defs", {}).items()}
    found = []
    for name, schema in document["properties"].items():
        whole = named.get(schema.pop("$ref", ""), {}) | schema  # a parameter stands alone: it can refer to nothing
        description = schema.pop("description", "")
        found.append(Parameter(name, "query", description, {k: whole[k] for k in whole if k not in _TEXTS}))
    return tuple(found)


_TEXTS = ("title", "description")


def body(kind: type[BaseModel], example: object = None) -> tuple[Content, ...]:
    return (Content(JSON, kind, example=example),)


def created(kind: Any, text: str, example: object = None) -> dict[int, Answer]:
    return {201: Answer(text, (Content(JSON, kind, example=example),))}


DONE = {204: Answer("Done.")}
