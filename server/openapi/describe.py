"""What a view says of itself: the decorator `described`, and the words that descriptions are made of.

A description stands at its view and says only what cannot be known otherwise. Address, method and path parameters come
from the routes, security from `server/auth.py`, the schema of the answer from the view's return annotation, which mypy
holds the view to, and the text from its docstring. A view without a description stops the app from being made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

View = TypeVar("View", bound=Callable[..., Any])
Schema = Mapping[str, Any]
_DESCRIPTION = "onsight_description"

TEXT: Schema = {"type": "string"}
BINARY: Schema = {"type": "string", "format": "binary"}


class Group:
    """The headings that calls stand under, in the order of the page."""

    PREDICT = "Predict"
    MODELS = "Models"
    CHANGE = "Load and unload"
    V2 = "Open Inference Protocol v2"
    WATCH = "Health and metrics"
    PAGES = "Pages and documents"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. where: "path" replaces what the document would say of a name in the address."""

    name: str
    where: Literal["query", "header", "path"]
    text: str
    schema: Schema
    example: object = None


@dataclass(frozen=True, slots=True)
class Content:
    """A body. kind: a type, of which pydantic makes the schema, or the schema.  example: None where none helps."""

    media_type: str
    kind: Any
    text: str = ""
    example: object = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a status means. content: empty for no body."""

    text: str
    content: tuple[Content, ...] = ()
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Description:
    """answers: beside the 200 of the return annotation, or in its place.  problems: codes of `openapi/problems.py`,
    without those that the address, the token and the transport bring along.  example: of the annotation's answer.
    samples: programs beside those that the page writes for every call, by their language or library.
    """

    group: str
    summary: str
    parameters: tuple[Parameter, ...] = ()
    body: tuple[Content, ...] = ()
    body_required: bool = True
    answers: Mapping[int, Answer] = field(default_factory=dict)
    example: object = None
    problems: tuple[str, ...] = ()
    samples: Mapping[str, str] = field(default_factory=dict)


def described(
    group: str,
    summary: str,
    *,
    parameters: tuple[Parameter, ...] = (),
    body: tuple[Content, ...] = (),
    body_required: bool = True,
    answers: Mapping[int, Answer] | None = None,
    example: object = None,
    problems: tuple[str, ...] = (),
    samples: Mapping[str, str] | None = None,
) -> Callable[[View], View]:
    """Say what a view does; see Description."""

    def mark(view: View) -> View:
        told = Description(
            group, summary, parameters, body, body_required, answers or {}, example, problems, samples or {}
        )
        setattr(view, _DESCRIPTION, told)
        return view

    return mark


def description_of(view: Callable[..., Any]) -> Description | None:
    found: Description | None = getattr(view, _DESCRIPTION, None)
    return found
