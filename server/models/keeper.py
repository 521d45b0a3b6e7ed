"""Keep what serves in step with the models folder: look, verify, load, publish. One keeper a process, in one thread.

For each model, from the highest version down: what serves already stays as it is; anything else is loaded and proven
before it takes its place. A file that is bad, or that does not load, leaves the copy of it that served before where it
was. Nothing is half done: one table is published at the end. Never raises for a bundle, whatever is in it.
"""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bundle.decode import ImageLimits
from bundle.errors import KeyFileError, MalformedBundle, OnsightError, UntrustedKey
from bundle.load import Bundle, load_bundle
from bundle.trust import TrustStore
from server.engines.protocol import EngineFactory
from server.errors import ConfigurationError, EngineError
from server.models.last_good import LastGoodStore
from server.models.loader import load_model
from server.models.registry import Failure, ModelKey, Registry, Slot, StandbyVersion, Table
from server.models.shelf import NAME, BundleFile, Fingerprint, fingerprint_of, list_bundles, natural_order
from server.models.wishes import Wish, Wishes

log = logging.getLogger("onsight.server")

SETTLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Version:
    """One verified bundle file, or the copy of it that served before (kept)."""

    file: BundleFile
    name: str
    version: str
    manifest_sha256: str
    kept: bool = False


@dataclass(frozen=True, slots=True)
class _Seen:
    """What verifying a file came to, for as long as neither it nor the trusted keys change."""

    fingerprint: Fingerprint
    trusted: Fingerprint
    version: Version | None
    failure: Failure | None


class Keeper:
    """models_dir: what to serve.  trust_dir: whose bundles.  store: where copies are kept, if anywhere.

    wishes: what an operator asked for.  lock: a file that keeps other processes from loading at the same moment.
    every_version: serve all versions, not the highest alone.
    """

    def __init__(
        self, models_dir: Path, trust_dir: Path, registry: Registry, build_engine: EngineFactory, limits: ImageLimits,
        *, store: LastGoodStore | None = None, wishes: Wishes | None = None, lock: Path | None = None,
        every_version: bool = False,
    ) -> None:  # fmt: skip
        self._models_dir = models_dir
        self._trust_dir = trust_dir
        self._registry = registry
        self._build_engine = build_engine
        self._limits = limits
        self._store = store
        self._wishes = wishes
        self._lock = lock
        self._every_version = every_version
        self._seen: dict[str, _Seen] = {}
        self._unloadable: dict[tuple[str, str], Failure] = {}  # file's key and manifest's digest -> why
        self._last: object = None
        self._unsettled = False

    def look(self, *, forced: bool = False, now: float | None = None) -> bool:
        """Do what the folder, the keys and the wishes ask for; True where anything was new.

        forced: a person asks: take files as they are, and try again what failed.  Without it, a file that changed
        within the last second is left to settle. now: seconds since 1970.
        """
        files = list_bundles(self._models_dir)
        if files is None:
            if self._registry.loaded:  # unreadable for the moment: no reason to stop serving
                return False
            files = ()
        trusted = fingerprint_of(self._trust_dir)
        wished = self._wishes.fingerprint if self._wishes else ()
        state = (files, trusted, wished)
        if state == self._last and not forced and not self._unsettled:
            return False
        if forced:
            self._unloadable.clear()
        with self._alone():
            self._unsettled = False
            fresh = self._verify(files, trusted, None if forced or not self._registry.loaded else now or time.time())
            self._publish(files, fresh)
        self._last = state
        return True

    # ---- verifying

    def _verify(self, files: tuple[BundleFile, ...], trusted: Fingerprint, now: float | None) -> dict[str, Bundle]:
        """Bring `_seen` up to date; the bundles that were read on the way, by their file's key."""
        trust = TrustStore(self._trust_dir)
        fresh: dict[str, Bundle] = {}
        before, self._seen = self._seen, {}
        for file in files:
            seen = before.get(file.key)
            if seen and seen.fingerprint == file.fingerprint and seen.trusted == trusted:
                self._seen[file.key] = seen
                continue
            changed = seen is None or seen.fingerprint != file.fingerprint
            if changed and now is not None and abs(now - file.newest_change) < SETTLE_S:
                self._unsettled = True  # still being copied, perhaps
                if seen:
                    self._seen[file.key] = seen
                continue
            try:
                if NAME.fullmatch(file.project) is None:
                    raise MalformedBundle(
                        f"project folder {file.project!r}: expected letters, digits, '.', '_' and '-'. Rename it."
                    )
                bundle = fresh[file.key] = load_bundle(file.path, trust)
                manifest = bundle.manifest
                version = Version(file, manifest.name, manifest.version, bundle.manifest_sha256)
                self._seen[file.key] = _Seen(file.fingerprint, trusted, version, None)
            except OnsightError as error:
                failure = failure_of(error, file)
                self._seen[file.key] = _Seen(file.fingerprint, trusted, None, failure)
        return fresh

    # ---- loading

    def _publish(self, files: tuple[BundleFile, ...], fresh: dict[str, Bundle]) -> None:
        trust = TrustStore(self._trust_dir)
        serving = {
            (slot.model.facts.project, slot.model.facts.file_name, slot.model.facts.manifest_sha256): slot
            for slots in self._registry.table.slots.values()
            for slot in slots
        }
        wishes = self._read_wishes()
        failures = [seen.failure for seen in self._seen.values() if seen.failure]
        candidates: dict[ModelKey, list[Version]] = {}
        for seen in self._seen.values():
            if seen.version:
                candidates.setdefault((seen.version.file.project, seen.version.name), []).append(seen.version)
        kept: dict[str, Version] = {}
        for file in files:
            seen_file = self._seen.get(file.key)
            if seen_file is not None and seen_file.failure:
                self._add_kept(file, serving, trust, fresh, candidates, kept)
        slots: dict[ModelKey, tuple[Slot, ...]] = {}
        standby: list[StandbyVersion] = []
        while todo := sorted(candidates.keys() - slots.keys()):
            key = todo[0]
            wish = wishes.get(key, Wish())
            loaded: list[Slot] = []
            tried: set[Version] = set()
            while untried := [version for version in candidates[key] if version not in tried]:
                version = max(untried, key=_rank)
                tried.add(version)
                if not _is_wanted(version, wish, loaded, every_version=self._every_version):
                    standby.append(StandbyVersion(*key, version.version, version.file.file_name))
                    continue
                slot = serving.get((key[0], version.file.file_name, version.manifest_sha256))
                result = slot or self._load(version, fresh, trust)
                if isinstance(result, Slot):
                    loaded.append(result)
                else:
                    failures.append(result)
                    if not version.kept:
                        self._add_kept(version.file, serving, trust, fresh, candidates, kept)
            slots[key] = tuple(loaded)
        served = {(slot.model.facts.project, slot.model.facts.file_name) for group in slots.values() for slot in group}
        self._registry.publish(
            Table(
                {key: group for key, group in slots.items() if group},
                tuple(standby),
                tuple(
                    replace(each, kept=(each.project, each.file_name) in served)
                    for each in sorted(failures, key=lambda failure: (failure.project, failure.file_name))
                ),
            )
        )
        if self._store:
            self._store.forget_others([file.key for file in files])
        log.info("models published", extra={"models": len(served), "failed": len(failures), "standby": len(standby)})

    def _load(self, version: Version, fresh: dict[str, Bundle], trust: TrustStore) -> Slot | Failure:
        file = version.file
        known = self._unloadable.get((file.key, version.manifest_sha256))
        if known:
            return known
        try:
            bundle = fresh.pop(f"kept {file.key}" if version.kept else file.key, None) or load_bundle(file.path, trust)
            if bundle.manifest_sha256 != version.manifest_sha256:
                raise MalformedBundle(f"{file.file_name}: it changed while it was being loaded. It is looked at again.")
            slot = Slot(load_model(bundle, file.project, file.file_name, self._build_engine, self._limits))
            if self._store and not version.kept:
                self._store.keep(file.key, bundle, trust)
            return slot
        except OnsightError as error:
            failure = failure_of(error, file)
        except Exception as error:  # whatever a runtime throws must not keep the others from serving
            log.exception("model failed to load")
            failed = EngineError(f"graph: it fails when it runs ({type(error).__name__}). Export it again.")
            failure = failure_of(failed, file)
        self._unloadable[(file.key, version.manifest_sha256)] = failure
        return failure

    def _add_kept(
        self, file: BundleFile, serving: dict[tuple[str, str, str], Slot], trust: TrustStore,
        fresh: dict[str, Bundle], candidates: dict[ModelKey, list[Version]], kept: dict[str, Version],
    ) -> None:  # fmt: skip
        """Let what this file held before stand for it: the model that serves, else the copy that was kept."""
        if file.key in kept:
            return
        for (project, name, digest), slot in serving.items():
            if (project, name) == (file.project, file.file_name) and _is_trusted(trust, slot.model.facts.key_id):
                manifest = slot.model.manifest
                kept[file.key] = Version(file, manifest.name, manifest.version, digest, kept=True)
        if file.key not in kept and self._store:
            bundle = self._store.get(file.key, trust)
            if bundle is not None:
                fresh[f"kept {file.key}"] = bundle
                manifest = bundle.manifest
                kept[file.key] = Version(file, manifest.name, manifest.version, bundle.manifest_sha256, kept=True)
        if file.key in kept:
            candidates.setdefault((file.project, kept[file.key].name), []).append(kept[file.key])

    def _read_wishes(self) -> dict[ModelKey, Wish]:
        try:
            return self._wishes.read() if self._wishes else {}
        except ConfigurationError as error:
            log.error("wishes not read", extra={"reason": str(error)})
            return {}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process after the other, so that loading never takes more than one core from those who answer.

        Not so at the start: nobody answers yet.
        """
        if self._lock is None or not self._registry.loaded:
            yield
            return
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def failure_of(error: OnsightError, file: BundleFile) -> Failure:
    """Log why a bundle does not serve, and put it in words for a client."""
    log.error(
        "bundle skipped",
        extra={"project": file.project, "bundle": file.file_name, "code": error.code, "reason": str(error)},
    )
    reason = str(error)
    if isinstance(error, KeyFileError):  # its error names a path, which is the operator's business alone
        reason = "The trust store cannot be read; the log says why."
    elif isinstance(error, UntrustedKey):  # its error names the keys that are trusted
        reason = "It is signed with a key that this server does not trust; the log says which."
    return Failure(file.project, file.file_name, error.code, reason)


def _is_wanted(version: Version, wish: Wish, loaded: list[Slot], *, every_version: bool) -> bool:
    if wish.unloaded:
        return False
    if wish.versions:
        return version.version in wish.versions
    if any(slot.model.manifest.version == version.version for slot in loaded):
        return False
    return every_version or not loaded


def _is_trusted(trust: TrustStore, key_id: str) -> bool:
    try:
        trust.get(key_id)
    except OnsightError:
        return False
    return True


def _rank(version: Version) -> tuple[object, ...]:
    """Highest version first; of equal ones a file's present content before its earlier copy, the later name first."""
    return natural_order(version.version), not version.kept, version.file.file_name
