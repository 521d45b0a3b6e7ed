"""TLS: the certificate and its key as they lie on the disk now, and what is wrong with them when something is.

TLS 1.2 or newer. A renewed certificate is taken up while the server runs, for new connections; one that cannot be used
(half written, or without its key yet) leaves the former in place, and is tried again when the files change.
"""

from __future__ import annotations

import contextlib
import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from server.errors import ConfigurationError

log = logging.getLogger("onsight.server")

HANDSHAKE = 0x16  # the first byte of a client that speaks TLS (RFC 8446, 5.1)
EXPIRES_SOON_DAYS = 14


class Certificate:
    """certificate, key: PEM files. Raises ConfigurationError where they cannot be used."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._files = self._look()
        self.context = load_context(certificate, key)

    def refresh(self) -> None:
        """Use what lies there now, if it is new and sound. A few microseconds where nothing changed."""
        files = self._look()
        if files == self._files:
            return
        self._files = files
        try:
            self.context = load_context(self._certificate, self._key)
        except ConfigurationError as error:
            log.error("certificate not renewed", extra={"reason": str(error)})
        else:
            log.info("certificate renewed", extra={"certificate": str(self._certificate)})

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        found = []
        for path in (self._certificate, self._key):
            try:
                stat = path.stat()
                found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
            except OSError:
                found.append((0, 0, 0))
        return tuple(found)


def load_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Of a server with this certificate. Raises ConfigurationError."""
    for what, path in (("certificate", certificate), ("private key", key)):
        try:
            text = path.read_bytes()
        except OSError as error:
            raise ConfigurationError(
                f"TLS {what} {path}: expected a PEM file that this server can read, found {error.strerror or error}."
            ) from error
        if b"-----BEGIN " not in text:
            raise ConfigurationError(
                f"TLS {what} {path}: expected a PEM file, found something else. Convert it to PEM."
            )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        raise ConfigurationError(
            f"TLS: expected {key} to be the private key of the certificate in {certificate},"
            f" {'found the key of another one' if mismatch else f'found what cannot be read ({error.reason})'}."
            " Both are PEM; the certificate's own comes first in its file, before those of its issuers."
        ) from error
    except ValueError as error:
        raise ConfigurationError(
            f"TLS: expected a certificate in {certificate} and a key without a password in {key}, found {error}."
        ) from error
    _remark_on_its_end(certificate)
    return context


def _remark_on_its_end(certificate: Path) -> None:
    """In the log. It serves all the same: an expired certificate is for its clients to judge."""
    with contextlib.suppress(OSError, ValueError):  # OpenSSL takes more than this parser does
        end = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
        left_days = (end - datetime.now(UTC)).days
        if left_days < EXPIRES_SOON_DAYS:
            log.warning(
                "certificate has expired" if left_days < 0 else "certificate expires soon",
                extra={"certificate": str(certificate), "on": f"{end:%Y-%m-%d}"},
            )


def _no_password() -> str:
    raise ValueError("a key with a password")
