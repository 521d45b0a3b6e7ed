"""Where a server is, which model is meant, and who asks; checked before anything is sent. Never shows a secret."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from onsight.client.errors import AddressError

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_MODEL = re.compile(rf"(?:({_NAME})/)?({_NAME})")
_PREDICT_PATH = re.compile(rf"/(?:api|v1)/predict/({_NAME})/({_NAME})/?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~%+-]+)*")
DEFAULT_PROJECT = "default"


@dataclass(frozen=True, slots=True)
class ModelName:
    """A model of a project. As text `project/name`."""

    project: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """text: NAME (of the project `default`) or PROJECT/NAME. Raises AddressError."""
        found = _MODEL.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise AddressError(
                "model: expected letters, digits, '.', '_' and '-', as NAME or PROJECT/NAME, found"
                f" {text if text is None else str(text)[:200]!r}."
            )
        return cls(found[1] or DEFAULT_PROJECT, found[2])

    def __str__(self) -> str:
        return f"{self.project}/{self.name}"


@dataclass(frozen=True, slots=True)
class Address:
    """origin: `http://host:port`, as given.  prefix: of every path, "" or "/below".

    host: ASCII, an IPv6 address without brackets.  port: None is the scheme's own.  model: where the URL names one.
    """

    origin: str
    scheme: str
    host: str
    port: int | None
    prefix: str
    model: ModelName | None

    @classmethod
    def parse(cls, url: str) -> Self:
        """url: `http://host:8000`, `https://host/prefix`, or a model's own address (`.../api/predict/PROJECT/MODEL`).

        Raises AddressError, which shows neither a user's name and password nor a query.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port  # ValueError beyond 65535
            if host is not None and not host.isascii():
                host = host.encode("idna").decode()
            named = _PREDICT_PATH.search(parts.path)
            prefix = (parts.path[: named.start()] if named else parts.path).rstrip("/")
            fits = (
                parts.scheme in ("http", "https")
                and host
                and "@" not in parts.netloc
                and not (parts.query or parts.fragment)
                and _PREFIX.fullmatch(prefix)
            )
        except (ValueError, TypeError, AttributeError):
            fits = host = None
        if not fits or not host:
            raise AddressError(
                f"server: expected an address such as http://localhost:8000, found {without_secrets(url)!r}."
            )
        origin = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{'' if port is None else f':{port}'}"
        model = ModelName(named[1], named[2]) if named else None
        return cls(origin, parts.scheme, host, port, prefix, model)

    @property
    def authority(self) -> str:
        """The Host header's value."""
        return self.origin.partition("://")[2]


def without_secrets(url: object) -> str:
    """The address without user, password, query and fragment, at most 200 characters."""
    return re.sub(r"//[^/]*@", "//...@", re.split(r"[?#]", str(url))[0])[:200]


class Token(str):
    """What opens the server; "" for none. Hidden from what prints variables: failing tests, crash reports."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Token(...)"


class HiddenBytes(bytes):
    """A header's value that holds a token."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "b'...'"


def checked_token(token: str | None) -> Token:
    """The token without the line's end of the file it comes from; "" for none. Raises AddressError."""
    token = (token or "").strip()
    if not re.fullmatch(r"[!-~]*", token):
        raise AddressError("token: expected letters, digits and '-' in one line, found others. Copy it again.")
    return Token(token)
