"""From an answer's bytes to its JSON, or to the error that it means. A server's words are shown, a token never."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

from onsight.client.address import Token, without_secrets
from onsight.client.errors import ClientError, ImageRefused, Refused, Unavailable, UnexpectedAnswer
from onsight.client.steps import Reply

LATER = frozenset({408, 429, 502, 503, 504})
OF_THE_IMAGE = frozenset({413, 415, 422})
EMPTY_IMAGE = (400, "IMAGE_EMPTY")  # other 400s are about the request, and would be the same for every image
LONGEST_DETAIL = 1000
T = TypeVar("T")


def document_of(reply: Reply, origin: str, secret: Token) -> Any:
    """The JSON of an answer 2xx. Raises ClientError for any other.

    origin: of the server, for messages.  secret: what no message may show.
    """
    document = json_of(reply.body)
    if 200 <= reply.status < 300:
        if document is None:
            raise UnexpectedAnswer(
                f"{origin}: expected JSON, found something else. Is this an Onsight server?", status=reply.status
            )
        return document
    raise refusal(reply, origin, secret)


def refusal(reply: Reply, origin: str, secret: Token) -> ClientError:
    """The error that an answer means."""
    problem = json_of(reply.body)
    found = f"{reply.status} {_phrase(reply.status)}".strip()
    if 300 <= reply.status < 400:
        return UnexpectedAnswer(
            f"{origin}: expected an answer, found a redirect ({found}) to"
            f" {_shown(without_secrets(reply.location), secret)!r}. It is not followed, since the token would travel"
            " with it: give the server's own address.",
            status=reply.status,
        )
    fields: dict[str, Any] = problem if isinstance(problem, dict) else {}
    kind: type[ClientError] = Refused
    if reply.status in LATER:
        kind = Unavailable
    elif reply.status in OF_THE_IMAGE or (reply.status, fields.get("code")) == EMPTY_IMAGE:
        kind = ImageRefused
    elif "code" not in fields:
        return UnexpectedAnswer(
            f"{origin}: expected an answer of an Onsight server, found {found} from another. Check the address.",
            status=reply.status,
        )
    return kind(
        _shown(str(fields.get("detail", f"{origin}: the server answered {found}.")), secret),
        status=reply.status,
        code=_shown(str(fields.get("code", "")), secret),
        request_id=_shown(str(fields.get("request_id", "")), secret),
        retry_after_s=seconds_said(reply.retry_after),
    )


def read_as(read: Callable[[Any], T], document: Any, origin: str) -> T:
    """Turn the JSON of a good answer into one of our types. Raises UnexpectedAnswer where it does not fit."""
    try:
        return read(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else type(error).__name__
        raise UnexpectedAnswer(
            f"{origin}: expected an answer as Onsight gives it, found another ({what})."
            " Is the server of the client's version?",
            status=200,
        ) from error


def seconds_said(retry_after: str, now: Callable[[], float] = time.time) -> float | None:
    """The seconds that Retry-After asks for, as a number or a date; None where it says neither.

    now: seconds since 1970.
    """
    said = retry_after.strip()
    if not said:
        return None
    if said.isascii() and said.isdigit():
        return float(said)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - now())
    except (ValueError, OverflowError):
        return None


def json_of(body: bytes) -> Any:
    """None for what is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""


def _shown(text: str, secret: Token) -> str:
    """One printable line of a foreign text."""
    line = "".join(letter if letter.isprintable() else " " for letter in text[:LONGEST_DETAIL])
    return line.replace(secret, "[token]") if secret else line
