"""Every check that stands between a bundle and its first answer, one after the other, with what each of them means.

In this order: archive, signature, manifest, files, variants, graph, golden replay, licence, what it would serve. The
checks are the loader's and the server's own functions, in their order; the first that fails ends it, and what comes
after was not reached. Nothing that a bundle says of itself is told before its signature has been verified. Never
writes, and never uses the network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from bundle.archive import Archive, open_archive
from bundle.errors import OnsightError, UntrustedKey
from bundle.golden import golden_of, replay_golden
from bundle.load import read_listed, read_signed
from bundle.manifest import Manifest, Variant, parse_manifest
from bundle.runtimes import CPU
from bundle.sealed import Opener
from bundle.signature import parse_signature, verify_manifest
from bundle.trust import TrustStore

if TYPE_CHECKING:
    from server.engines.onnx_runtime import OnnxRuntimeEngine

Refusal = Callable[[Manifest, str], OnsightError | None]
Status = Literal["ok", "failed", "not checked", "not reached"]

MEANINGS: Final = {
    "archive": "plain stored files within the limits, no links, nothing hidden between them",
    "signature": "the manifest is byte for byte what the owner of a key that you trust signed",
    "manifest": "every field is one that this install knows, and they fit each other",
    "files": "exactly the files that the manifest lists, each with its size and SHA-256",
    "variants": "full precision may serve, and any other form only with measurements within its limits",
    "graph": "the model takes and gives what the manifest says",
    "golden replay": "this machine gives the recorded answers to the recorded images",
    "licence": "somebody's licence lets it serve here, where it takes one",
    "serves": "what clients would ask for",
}


@dataclass(frozen=True, slots=True)
class Check:
    """name: a key of MEANINGS.  found: in a sentence part, or the error's own words.  code: of the error."""

    name: str
    status: Status
    found: str = ""
    code: str | None = None

    @property
    def meaning(self) -> str:
        return MEANINGS[self.name]


@dataclass(slots=True)
class Verdict:
    """key_id: whom the signature file names, verified only where `signature` is ok.  manifest: once it is verified."""

    checks: list[Check] = field(default_factory=list)
    key_id: str | None = None
    manifest_sha256: str | None = None
    manifest: Manifest | None = None

    @property
    def accepted(self) -> bool:
        return all(check.status in ("ok", "not checked") for check in self.checks)


def verify_bundle(
    path: Path, trust: TrustStore, opener: Opener | None = None, refusal: Refusal | None = None
) -> Verdict:
    """Run every check; never raises for what is wrong with the bundle.

    opener: this install's key, for sealed ones.  refusal: why this install's licences do not let it serve; None: not
    asked.
    """
    with ExitStack() as stack:
        inspection = _Inspection(path, trust, opener, refusal, stack)
        return inspection.run()


class _NotChecked(Exception):
    """Something that the check needs is not installed."""


class _Inspection:
    def __init__(
        self, path: Path, trust: TrustStore, opener: Opener | None, refusal: Refusal | None, stack: ExitStack
    ) -> None:
        self._path, self._trust, self._opener, self._refusal, self._stack = path, trust, opener, refusal, stack
        self._verdict = Verdict()
        self._files: dict[str, bytes] = {}
        self._signed: tuple[bytes, bytes] = (b"", b"")
        self._archive: Archive
        self._engines: dict[str, OnnxRuntimeEngine] = {}

    def run(self) -> Verdict:
        steps: dict[str, Callable[[], str]] = {
            "archive": self._check_archive,
            "signature": self._check_signature,
            "manifest": self._check_manifest,
            "files": self._check_files,
            "variants": self._check_variants,
            "graph": self._check_graph,
            "golden replay": self._replay,
            "licence": self._licence,
            "serves": self._serves,
        }
        failed = False
        for name, step in steps.items():
            if failed:
                check = Check(name, "not reached")
            else:
                check = self._checked(name, step)
                failed = check.status == "failed"
            self._verdict.checks.append(check)
        return self._verdict

    @staticmethod
    def _checked(name: str, step: Callable[[], str]) -> Check:
        try:
            return Check(name, "ok", step())
        except _NotChecked as reason:
            return Check(name, "not checked", str(reason))
        except OnsightError as error:
            return Check(name, "failed", str(error), error.code)
        except OSError as error:  # a file that goes, or a disk that fails, while it is read
            found = error.strerror or str(error)
            return Check(
                name, "failed", f"expected to read the bundle, found: {found}. Check the path and permissions."
            )

    # ---- before the signature: nothing in the file is believed

    def _check_archive(self) -> str:
        self._archive = archive = self._stack.enter_context(open_archive(self._path, opener=self._opener))
        self._signed = read_signed(archive)
        sealed = "; sealed for this install, and opened in memory" if archive.sealed else ""
        return f"{len(archive.sizes)} files, {sum(archive.sizes.values()) / 1e6:.1f} MB{sealed}"

    def _check_signature(self) -> str:
        manifest_bytes, signature_bytes = self._signed
        self._verdict.key_id = key_id = parse_signature(signature_bytes).key_id
        try:
            verify_manifest(manifest_bytes, signature_bytes, self._trust)
        except UntrustedKey as error:
            raise UntrustedKey(
                f"{error} Without the key nothing tells whether the signature is good: get the file from the maker"
                f" (`onsight trust show --out` there), and compare its id, {key_id}, by another way than this bundle's."
            ) from error
        self._verdict.manifest_sha256 = hashlib.sha256(manifest_bytes).hexdigest()
        return f"signed by {key_id}, which you trust as {self._trust.get(key_id).name!r}"

    # ---- after it

    def _check_manifest(self) -> str:
        self._verdict.manifest = manifest = parse_manifest(self._signed[0])
        return f"schema version {manifest.schema_version}, made {manifest.created_at}"

    @property
    def _manifest(self) -> Manifest:
        assert self._verdict.manifest is not None
        return self._verdict.manifest

    def _check_files(self) -> str:
        self._files = read_listed(self._archive, self._manifest)
        return ", ".join(self._files)

    def _check_variants(self) -> str:
        from server.models.loader import choose_variant
        from server.models.variants import refused

        if not (full := choose_variant(self._manifest)).may_serve:
            raise refused(self._manifest, full)
        return "; ".join(_describe(variant) for variant in self._manifest.variants)

    def _check_graph(self) -> str:
        from server.engines.onnx_runtime import OnnxRuntimeEngine, OnnxRuntimeOptions
        from server.engines.protocol import check_manifest_tensors

        check_manifest_tensors(self._manifest)
        try:
            import onnxruntime  # noqa: F401
        except ModuleNotFoundError:
            raise _NotChecked(
                "ONNX Runtime is not installed here: pip install 'onsight[server]'. A server makes this check itself"
            ) from None
        for variant in self._on_cpu:
            engine = OnnxRuntimeEngine(self._manifest, self._files[variant.file], OnnxRuntimeOptions())
            self._stack.callback(engine.close)
            self._engines[variant.name] = engine
        given = self._manifest.input
        library = f" by {next(iter(self._engines.values())).library}" if self._engines else ""
        left = [variant.name for variant in self._manifest.variants if variant.name not in self._engines]
        return (
            f"{', '.join(self._engines) or 'none'} read{library}: {given.dtype} {'x'.join(map(str, given.shape))} ->"
            f" {', '.join(f'{each.name} {each.shape[-1]}' for each in self._manifest.outputs)}"
            + (f"; not for a CPU, or may not serve: {', '.join(left)}" if left else "")
        )

    @property
    def _on_cpu(self) -> list[Variant]:
        variants = [variant for variant in self._manifest.variants if variant.may_serve]
        return [variant for variant in variants if not variant.runtimes or CPU in variant.runtimes]

    def _replay(self) -> str:
        if not self._engines:
            raise _NotChecked("no form of the model was run here")
        told = []
        for variant in self._on_cpu:
            golden, tolerance = golden_of(variant, self._manifest, self._files)
            largest = replay_golden(golden, self._manifest, self._engines[variant.name].infer, tolerance)
            told.append(
                f"{variant.name}: {len(golden.images)} images, largest difference {largest:.1e} (at most {tolerance:g})"
            )
        return "; ".join(told)

    def _licence(self) -> str:
        demand = self._manifest.license
        if demand is None:
            return "none needed"
        needed = f"a licence of issuer {demand.issuer} that covers model {self._manifest.name}"
        if self._refusal is None or self._verdict.manifest_sha256 is None:
            return f"a server needs {needed}"
        if refusal := self._refusal(self._manifest, self._verdict.manifest_sha256):
            raise refusal
        return f"this install holds {needed}"

    def _serves(self) -> str:
        manifest = self._manifest
        unknown = ", unfamiliar images called unknown" if manifest.unknown is not None else ""
        return (
            f"model {manifest.name}, version {manifest.version}: {len(manifest.labels)} labels"
            f" ({manifest.task.value.replace('_', ' ')}){unknown}"
        )


def _describe(variant: Variant) -> str:
    certificate = variant.certificate
    if certificate is None:
        return variant.name if variant.may_serve else f"{variant.name} never serves: it has no certificate"
    if not variant.may_serve:
        return f"{variant.name} never serves: {', '.join(certificate.failures)}"
    return (
        f"{variant.name} certified on {certificate.images} {certificate.split} images: {certificate.agreement:.1%} of"
        f" the answers agree, {certificate.metric.replace('_', ' ')} {certificate.value:.4f}"
        f" after {certificate.full:.4f}"
    )
