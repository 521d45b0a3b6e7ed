"""What is in each bundle file: verified when the file, or the keys that are trusted, changed, and not before.

A file that changed a moment ago is left to settle: it may still be on its way. Never raises for a bundle, whatever is
in it; each failure is logged once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from bundle.errors import KeyFileError, MalformedBundle, OnsightError, UntrustedKey
from bundle.fingerprint import Fingerprint
from bundle.load import Bundle, load_bundle
from bundle.manifest import Manifest
from bundle.sealed import Opener
from bundle.trust import TrustStore
from licenses.errors import IdentityError
from server.models.registry import Failure
from server.models.shelf import NAME, BundleFile

log = logging.getLogger("onsight.server")

SETTLE_S = 1.0
# Verified bytes that wait for their engine take at most so much memory; beyond it a file is read a second time.
MAX_HELD_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Version:
    """One verified bundle file, or the copy of it that served before (kept)."""

    file: BundleFile
    name: str
    version: str
    manifest_sha256: str
    manifest: Manifest = field(compare=False, repr=False)
    kept: bool = False


@dataclass(frozen=True, slots=True)
class _Seen:
    """What verifying a file came to, for as long as neither it nor the trusted keys change."""

    fingerprint: Fingerprint
    trusted: Fingerprint
    found: Version | Failure


class FailureLog:
    """Puts failures into words: all of it to the log, once, and to clients what concerns them."""

    def __init__(self) -> None:
        self._told: set[tuple[str, Fingerprint, str]] = set()

    def failure(
        self, error: OnsightError, file: BundleFile, name: str | None = None, version: str | None = None,
        *, cause: Exception | None = None,
    ) -> Failure:  # fmt: skip
        """name, version: of the model, where its manifest could be verified.  cause: what nobody foresaw."""
        told = (file.key, file.fingerprint, str(error))
        if told not in self._told:
            self._told.add(told)
            log.error(
                "bundle skipped",
                exc_info=cause,
                extra={"project": file.project, "bundle": file.file_name, "code": error.code, "reason": str(error)},
            )
        reason = str(error)
        if isinstance(error, KeyFileError):  # its error names a path, which is the operator's business alone
            reason = "The trust store cannot be read; the log says why."
        elif isinstance(error, IdentityError):
            reason = "This install's identity, which would open it, cannot be read; the log says why."
        elif isinstance(error, UntrustedKey):  # its error names the keys that are trusted
            reason = "It is signed with a key that this server does not trust; the log says which."
        return Failure(file.project, file.file_name, error.code, reason, name, version)

    def forget_others(self, files: Iterable[BundleFile]) -> None:
        """Of files that are gone, or changed, nothing needs to be remembered."""
        now = {(file.key, file.fingerprint) for file in files}
        self._told = {told for told in self._told if told[:2] in now}


class Verifier:
    """The bundle files of one folder, as they were when last looked at. opener: this install's key, for sealed ones."""

    def __init__(self, failures: FailureLog, opener: Opener | None = None) -> None:
        self._failures = failures
        self._opener = opener
        self._seen: dict[str, _Seen] = {}
        self._held: dict[str, Bundle] = {}
        self.unsettled = False

    def check(
        self, files: Iterable[BundleFile], trusted: Fingerprint, trust: TrustStore, now: float | None, *, again: bool
    ) -> None:
        """Verify what is new.

        trusted: fingerprint of the trust store.  now: seconds since 1970, or None to take files as they are.  again:
        also try anew what failed before.
        """
        self.unsettled = False
        before, self._seen = self._seen, {}
        for file in files:
            seen = before.get(file.key)
            changed = seen is None or seen.fingerprint != file.fingerprint
            if seen and not changed and seen.trusted == trusted and not (again and isinstance(seen.found, Failure)):
                self._seen[file.key] = seen
            elif changed and now is not None and abs(now - file.newest_change) < SETTLE_S:
                self.unsettled = True  # still being copied, perhaps
                if seen:
                    self._seen[file.key] = seen
            else:
                self._seen[file.key] = _Seen(file.fingerprint, trusted, self._verify(file, trust))

    def of(self, file: BundleFile) -> Version | Failure | None:
        """None for a file that has not been looked at yet."""
        seen = self._seen.get(file.key)
        return seen.found if seen else None

    def take(self, file: BundleFile) -> Bundle | None:
        """The verified bytes, where they are still at hand; once."""
        return self._held.pop(file.key, None)

    def let_go(self) -> None:
        """Hold no bytes any more."""
        self._held.clear()

    def _verify(self, file: BundleFile, trust: TrustStore) -> Version | Failure:
        try:
            if NAME.fullmatch(file.project) is None:
                raise MalformedBundle(
                    f"project folder {file.project!r}: expected letters, digits, '.', '_' and '-'. Rename it."
                )
            bundle = load_bundle(file.path, trust, opener=self._opener)
        except OnsightError as error:
            return self._failures.failure(error, file)
        except Exception as error:  # even a fault of ours in one bundle must not keep the others from serving
            unforeseen = OnsightError(f"Reading it failed ({type(error).__name__}); the log says more.")
            return self._failures.failure(unforeseen, file, cause=error)
        if _byte_count(bundle) + sum(map(_byte_count, self._held.values())) <= MAX_HELD_BYTES:
            self._held[file.key] = bundle
        return Version(file, bundle.manifest.name, bundle.manifest.version, bundle.manifest_sha256, bundle.manifest)


def _byte_count(bundle: Bundle) -> int:
    return sum(map(len, bundle.files.values()))
