"""A finished export: its bundle, verified as a server would, its digest, and whether a licence lets it be downloaded.

A bundle that demands no licence goes to whoever may download in its project. One that does, goes where this install
holds a licence of its issuer with the action `download`; an install that issues licences holds one for itself.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from bundle.errors import OnsightError
from bundle.fingerprint import Fingerprint, fingerprint_of
from bundle.home import OnsightHome
from bundle.keys import PublicKey
from bundle.load import load_bundle
from bundle.manifest import Manifest
from bundle.trust import TrustStore
from licenses.claims import time_of
from licenses.errors import IdentityError, LicenseError
from licenses.gate import LicenseGate
from studio.errors import Conflict, NotFound
from studio.jobs.folder import JobFolder
from studio.jobs.inputs import ExportInput
from studio.jobs.queue import Kind, State, find_job

log = logging.getLogger("onsight.studio")


@dataclass(frozen=True, slots=True)
class Exported:
    """row: of the job.  sha256: of the file, 64 hexadecimal digits.  key: who signed it."""

    row: Any
    path: Path
    manifest: Manifest
    sha256: str
    key: PublicKey

    @property
    def file_name(self) -> str:
        return f"{self.manifest.name}-{self.manifest.version}.onsight"

    @property
    def bytes(self) -> int:
        return self.path.stat().st_size


def find_exported(connection: Connection, home: OnsightHome, jobs_folder: Path, project_id: int, job: str) -> Exported:
    """Raises NotFound for no such export, Conflict where its bundle is not there, or not what was made."""
    row = find_job(connection, project_id, job)
    if row.kind != Kind.EXPORT:
        raise NotFound("There is no such export in this project.", "JOB_NOT_FOUND")
    path = JobFolder(jobs_folder, job).bundle_path(ExportInput.model_validate(row.input).name)
    if row.state != State.DONE or not path.is_file():
        raise Conflict("The export has no bundle, or not yet. Wait until it is done, or export again.", "NOT_EXPORTED")
    try:
        manifest, sha256, key = _verified(path, fingerprint_of(path), home.trust_dir, fingerprint_of(home.trust_dir))
    except OnsightError as error:
        log.error("exported bundle refused", extra={"job": job, "code": error.code, "reason": str(error)})
        raise Conflict(
            f"The bundle is not what was exported ({error.code}). Export it again.", "NOT_EXPORTED"
        ) from error
    return Exported(row, path, manifest, sha256, key)


def license_refusal(exported: Exported, home: OnsightHome) -> LicenseError | None:
    """Why no licence lets this bundle be downloaded; None where one does, or none is needed."""
    manifest = exported.manifest
    if manifest.license is None:
        return None
    try:
        LicenseGate(home.licenses_dir).require(
            "download",
            issuer=manifest.license.issuer,
            model=manifest.name,
            new=True,
            made=time_of(manifest.created_at),
        )
    except LicenseError as error:
        return error
    except IdentityError as error:  # its text names paths, which are the operator's business
        log.error("identity not read", extra={"reason": str(error)})
        return LicenseError(
            "LICENSE_HOST_MISMATCH",
            "This install's identity cannot be read, so no licence that is bound to it counts; the log says why.",
        )
    return None


@lru_cache(maxsize=64)
def _verified(
    path: Path, _fingerprint: Fingerprint, trust_dir: Path, _trusted: Fingerprint
) -> tuple[Manifest, str, PublicKey]:
    """Verified once, until the file or the trusted keys change. Raises OnsightError."""
    trust = TrustStore(trust_dir)
    bundle = load_bundle(path, trust)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return bundle.manifest, sha256, trust.get(bundle.key_id).public_key
