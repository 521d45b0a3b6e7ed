"""What both clients share of HTTP/1.1: the connection pool's options, headers, limits, and what a loss means.

The pool (httpcore2) follows no redirect, knows no proxy and no cookie, and decompresses nothing.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from pathlib import Path
from typing import Any, TypeAlias

import httpcore2

from onsight.client.address import Address, HiddenBytes, Token
from onsight.client.errors import AddressError, CertificateRefused, UnexpectedAnswer
from onsight.client.steps import Lost, Reply, Send

Verify: TypeAlias = bool | str | os.PathLike[str] | ssl.SSLContext
Headers: TypeAlias = list[tuple[bytes, bytes]]
LOSSES = (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError, TimeoutError)
CONNECT_TIMEOUT_S = 10.0
IDLE_S = 10.0  # less than any server's patience with an idle connection, so that it is seldom closed under a request
MAX_ANSWER_BYTES = 64 * 1024 * 1024


def pool_options(address: Address, verify: Verify, token: Token) -> dict[str, Any]:
    """Keyword arguments of httpcore2's pools. As many connections as callers ask at once. Raises AddressError."""
    return {
        "ssl_context": _tls(verify, token) if address.scheme == "https" else None,
        "max_connections": None,
        "keepalive_expiry": IDLE_S,
    }


def _tls(verify: Verify, token: Token) -> ssl.SSLContext:
    if isinstance(verify, ssl.SSLContext):
        return verify
    if verify is True:
        return ssl.create_default_context()
    if verify is False:
        if token:
            raise AddressError(
                "verify: expected the server's certificate or its CA's (a PEM file) where a token is sent, found False:"
                " anybody on the way could read the token."
            )
        unchecked = ssl.create_default_context()
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
        return unchecked
    path = Path(verify)
    try:
        return ssl.create_default_context(capath=path) if path.is_dir() else ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        raise AddressError(
            f"verify: expected a PEM file of certificates, or a folder of them, found {path}:"
            f" {error.strerror or error}."
        ) from error


def base_headers(address: Address, token: Token) -> Headers:
    headers = [(b"Host", address.authority.encode()), (b"User-Agent", b"onsight-client")]
    return [*headers, (b"Authorization", HiddenBytes(b"Bearer " + token.encode()))] if token else headers


def request_of(address: Address, headers: Headers, send: Send) -> dict[str, Any]:
    """Keyword arguments of a pool's `stream`."""
    if send.body is not None:
        length = str(len(send.body)).encode()
        headers = [*headers, (b"Content-Type", b"application/octet-stream"), (b"Content-Length", length)]
    limits = dict.fromkeys(("read", "write", "pool"), send.timeout_s)
    return {
        "method": send.method,
        "url": httpcore2.URL(
            scheme=address.scheme, host=address.host, port=address.port, target=send.path.encode("ascii")
        ),
        "headers": headers,
        "content": send.body,
        "extensions": {"timeout": {**limits, "connect": min(send.timeout_s, CONNECT_TIMEOUT_S)}},
    }


class Incoming:
    """An answer as it arrives, bounded in size."""

    def __init__(self, address: Address, response: httpcore2.Response) -> None:
        self._origin = address.origin
        self._status = response.status
        self._headers = response.headers
        self._parts: list[bytes] = []
        self._room = MAX_ANSWER_BYTES

    def add(self, part: bytes) -> None:
        """Raises UnexpectedAnswer where the answer has grown too large."""
        self._room -= len(part)
        if self._room < 0:
            raise UnexpectedAnswer(
                f"{self._origin}: expected an answer of at most {MAX_ANSWER_BYTES} bytes, found more. Is this an"
                " Onsight server?",
                status=self._status,
            )
        self._parts.append(part)

    def reply(self) -> Reply:
        body = b"".join(self._parts)
        if 200 <= self._status < 300:
            return Reply(self._status, body)
        headers = {name.lower(): value.decode("latin-1") for name, value in self._headers}
        return Reply(self._status, body, headers.get(b"retry-after", ""), headers.get(b"location", ""))


def lost(error: Exception, address: Address, send: Send) -> Lost:
    """What it means that the pool raised one of LOSSES."""
    roots = _roots(error)
    for root in roots:
        if isinstance(root, ssl.SSLCertVerificationError):
            refused = CertificateRefused(
                f"{address.origin}: expected a certificate that this machine trusts, found: {root.verify_message}. Give"
                " the PEM file of the CA that signed it, as verify= or --ca."
            )
            return Lost(refused.args[0], reached=True, cause=error, final=refused)
    reached = not isinstance(error, httpcore2.ConnectError | httpcore2.ConnectTimeout)
    if isinstance(error, httpcore2.TimeoutException | TimeoutError):
        return Lost(f"none within {send.timeout_s:.3g} s" if reached else "no connection in time", reached, error)
    for root in roots:
        if isinstance(root, ssl.SSLError):
            return Lost(f"no TLS ({root.reason or root})", reached, error)
        if isinstance(root, socket.gaierror):
            return Lost(f"no such host ({root.strerror})", reached, error)
        if isinstance(root, OSError) and root.errno is not None and root.errno in errno.errorcode:
            return Lost(os.strerror(root.errno), reached, error)
    return Lost("a connection that broke off", reached, error)


def _roots(error: BaseException) -> list[BaseException]:
    """The error, and what it was made from: its argument (so does the pool), its cause, the members of its group.

    Not its context, which may be the caller's own trouble.
    """
    found = [error]
    for each in found:
        within = each.exceptions if isinstance(each, BaseExceptionGroup) else each.args
        found += [one for one in (*within, each.__cause__) if isinstance(one, BaseException) and one not in found]
    return found
