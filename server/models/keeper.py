"""Keep what serves in step with the models folder: look, verify, load, publish. One keeper a process, in one thread.

For each model, from the highest version down: what serves already stays as it is; anything else is loaded and proven
before it takes its place. A file that is bad, or that does not load, leaves the copy of it that served before where it
was; so does a folder that cannot be read. Nothing is half done: one table is published at the end. Never raises for a
bundle, whatever is in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bundle.decode import ImageLimits
from bundle.errors import MalformedBundle, OnsightError
from bundle.fingerprint import Fingerprint, fingerprint_of
from bundle.load import Bundle, load_bundle
from bundle.trust import TrustStore
from licenses.identity import FILE_NAME
from licenses.opener import opener_of
from server.engines.protocol import EngineFactory
from server.errors import ConfigurationError, EngineError, Overloaded
from server.heap import give_back_memory
from server.models.entitlement import Entitlement
from server.models.last_good import LastGoodStore, Original
from server.models.loader import load_model
from server.models.registry import Failure, ModelKey, Registry, Slot, StandbyVersion, Table
from server.models.shelf import (
    BundleFile,
    absent_bundle,
    is_unreadable,
    key_of,
    list_bundles,
    natural_order,
)
from server.models.variants import FULL_PRECISION, VariantPolicy
from server.models.verifying import FailureLog, Verifier, Version
from server.models.wishes import Wish, Wishes

log = logging.getLogger("onsight.server")

Holding = tuple[str, str]  # a file's key, and the digest of the manifest that it holds or held


class Keeper:
    """models_dir: what to serve.  trust_dir: whose bundles.  store: where copies are kept, if anywhere.

    wishes: what an operator asked for.  lock: a file that keeps other processes from loading at the same moment.
    every_version: serve all versions, not the highest alone.  policy: which form of a model serves.
    licenses_dir: where the install's identity is, whose key opens sealed bundles.
    entitlement: what models may serve; None asks nobody.
    """

    def __init__(
        self, models_dir: Path, trust_dir: Path, registry: Registry, build_engine: EngineFactory, limits: ImageLimits,
        *, store: LastGoodStore | None = None, wishes: Wishes | None = None, lock: Path | None = None,
        every_version: bool = False, policy: VariantPolicy = FULL_PRECISION, licenses_dir: Path | None = None,
        entitlement: Entitlement | None = None,
    ) -> None:  # fmt: skip
        self._models_dir = models_dir
        self._licenses_dir = licenses_dir
        self._entitlement = entitlement
        self._opener = opener_of(licenses_dir) if licenses_dir is not None else None
        self._trust = TrustStore(trust_dir)
        self._registry = registry
        self._build_engine = build_engine
        self._limits = limits
        self._store = store
        self._wishes = wishes
        self._lock = lock
        self._every_version = every_version
        self._policy = policy
        self._failures = FailureLog()
        self._verifier = Verifier(self._failures, self._opener)
        self._unloadable: dict[Holding, Failure] = {}
        self._files: tuple[BundleFile, ...] | None = None  # as last listed
        self._trusted: Fingerprint = ()
        self._trust_away = False
        self._last_wishes: dict[ModelKey, Wish] = {}
        self._last: object = None
        self._hour = 0  # of the last look at licences
        self._problems: tuple[str, ...] = ()

    @property
    def hour_is_over(self) -> bool:
        """Whether licences are to be looked at again by now, though nothing else may have changed."""
        return self._entitlement is not None and self._entitlement.hour != self._hour

    def look(self, *, forced: bool = False, licenses_alone: bool = False, now: float | None = None) -> bool:
        """Do what the folder, the keys and the wishes ask for; True where anything was new.

        forced: a person asks: take files as they are, and try again what failed.  Without it, a file that changed
        within the last second is left to settle.  licenses_alone: leave the folder as it was listed.  now: seconds
        since 1970.
        """
        files = self._files if licenses_alone and self._files is not None else self._list()
        trusted, trust_away = self._fingerprint_trust()
        wished = self._wishes.fingerprint if self._wishes else ()
        state = (files, trusted, trust_away, wished, self._entitlement.moment if self._entitlement else None)
        if state == self._last and not forced and not self._verifier.unsettled:
            return False
        if forced:
            self._unloadable.clear()
        as_they_are = forced or not self._registry.loaded
        with self._alone():
            self._verifier.check(
                files,
                trusted,
                self._trust,
                None if as_they_are else now or time.time(),
                again=forced or self._trust_away,
            )
            if self._entitlement:
                self._hour = self._entitlement.hour
                self._entitlement.begin_look()
            round_ = _Round(files, self._serving(), self._read_wishes())
            try:
                self._publish(round_)
            finally:
                self._verifier.let_go()
        self._failures.forget_others(files)
        self._last = None if round_.again else state
        self._files, self._trusted, self._trust_away = files, trusted, trust_away
        return True

    # ---- looking

    def _list(self) -> tuple[BundleFile, ...]:
        """Every bundle; of a folder that cannot be read now, those of the last look, or those that there are copies of.

        So that a volume that is away for a moment, or permissions that went wrong, stop nothing.
        """
        listing = list_bundles(self._models_dir)
        problems = list(listing.problems)
        files = list(listing.files)
        if not listing.whole or listing.unread:
            before = self._files
            if before is None:
                before = tuple(
                    absent_bundle(self._models_dir, key) for key in (self._store.keys() if self._store else ())
                )
            files += [file for file in before if not listing.whole or file.project in listing.unread]
        self._complain(problems)
        return tuple(files)

    def _fingerprint_trust(self) -> tuple[Fingerprint, bool]:
        """Of the trusted keys and the identity; the former one, and True, where the keys cannot be read now.

        That takes away no trust.
        """
        trusted = fingerprint_of(self._trust.folder)
        if not trusted and is_unreadable(self._trust.folder):
            return self._trusted, True
        if self._licenses_dir is not None:  # an identity that is made later opens what could not be opened
            trusted += fingerprint_of(self._licenses_dir / FILE_NAME)
        return trusted, False

    def _complain(self, problems: list[str]) -> None:
        """Once, and not at every look."""
        for problem in problems:
            if problem not in self._problems:
                log.error("folder not read", extra={"reason": problem})
        self._problems = tuple(problems)

    def _serving(self) -> dict[Holding, Slot]:
        return {
            (key_of(slot.model.facts.project, slot.model.facts.file_name), slot.model.facts.manifest_sha256): slot
            for slots in self._registry.table.slots.values()
            for slot in slots
        }

    def _read_wishes(self) -> dict[ModelKey, Wish]:
        try:
            self._last_wishes = self._wishes.read() if self._wishes else {}
        except ConfigurationError as error:  # what was unloaded stays unloaded
            log.error("wishes not read", extra={"reason": str(error)})
        return self._last_wishes

    # ---- loading

    def _publish(self, round_: _Round) -> None:
        for file in round_.files:
            found = self._verifier.of(file)
            if isinstance(found, Version):
                round_.add(found)
            elif found is not None:
                round_.failures[file.key, ""] = found
                self._add_kept(file, round_)
        while todo := round_.candidates.keys() - round_.chosen.keys():
            self._choose(min(todo, key=lambda key: (self._is_new(round_.candidates[key]), key)), round_)
        present = {file.key for file in round_.files}
        self._unloadable = {held: failure for held, failure in self._unloadable.items() if held[0] in present}
        if self._store:  # before anything is published: whatever served can be had again
            originals = {
                version.file.key: Original(version.file.path, version.manifest_sha256)
                for chosen in round_.chosen.values()
                for version, _ in chosen
                if not version.kept
            }
            self._store.update(originals, present, self._trust)
        table = round_.table()
        if self._entitlement:
            self._entitlement.remember(
                [version.manifest_sha256 for version in round_.serving_versions if version.manifest.license is not None]
            )
        changed = _outline(table) != _outline(self._registry.table) or not self._registry.loaded
        self._registry.publish(table)
        for slot in round_.loaded:
            if all(slot is not each for slots in table.slots.values() for each in slots):
                slot.retire()
        if changed:
            counts = {"models": len(table.slots), "failed": len(table.failures), "standby": len(table.standby)}
            log.info("models published", extra=counts)
            if not table.slots and not table.failures:
                log.warning("no bundle serves yet: put an .onsight file into the models folder")
        if changed:
            give_back_memory()

    def _choose(self, key: ModelKey, round_: _Round) -> None:
        """Load those versions of one model that are to serve, the highest first."""
        wish = round_.wishes.get(key, Wish())
        chosen: list[tuple[Version, Slot]] = []
        standby: list[StandbyVersion] = []
        tried: set[Version] = set()
        while untried := [version for version in round_.candidates[key] if version not in tried]:
            version = max(untried, key=_rank)
            tried.add(version)
            if not _is_wanted(version, wish, [other.version for other, _ in chosen], every_version=self._every_version):
                standby.append(StandbyVersion(*key, version.version, version.file.file_name))
                continue
            held = (version.file.key, version.manifest_sha256)
            result = self._refusal(version, round_, chosen) or round_.serving.get(held) or self._load(version, round_)
            if isinstance(result, Slot):
                round_.serving[held] = result
                chosen.append((version, result))
            else:
                round_.failures[held] = result
                if not version.kept:
                    self._add_kept(version.file, round_)
        chosen.sort(key=lambda each: _rank(each[0]), reverse=True)
        round_.chosen[key], round_.standby[key] = tuple(chosen), tuple(standby)

    def _is_new(self, versions: list[Version]) -> bool:
        """Whether it is under a licence for the first time: where a licence has a limit, it takes nobody's place."""
        licensed = [version.manifest_sha256 for version in versions if version.manifest.license is not None]
        return self._entitlement is not None and licensed != [] and not any(map(self._entitlement.has_served, licensed))

    def _refusal(self, version: Version, round_: _Round, chosen: list[tuple[Version, Slot]]) -> Failure | None:
        """Of a model that serves, too: a licence may have ended since."""
        demand = version.manifest.license
        if self._entitlement is None or demand is None:
            return None
        others = [*round_.serving_versions, *(other for other, _ in chosen)]
        beside = sum(other.manifest.license == demand for other in others)
        error = self._entitlement.refusal(version.manifest, version.manifest_sha256, beside=beside)
        return self._failures.failure(error, version.file, version.name, version.version) if error else None

    def _load(self, version: Version, round_: _Round) -> Slot | Failure:
        file = version.file
        held = (file.key, version.manifest_sha256)
        known = self._unloadable.get(held)
        if known:
            return known
        try:
            at_hand = round_.copies.pop(file.key, None) if version.kept else self._verifier.take(file)
            bundle = at_hand or load_bundle(file.path, self._trust, opener=self._opener)
            if bundle.manifest_sha256 != version.manifest_sha256:
                raise MalformedBundle(f"{file.file_name}: it changed while it was being loaded. It is looked at again.")
            slot = Slot(
                load_model(bundle, file.project, file.file_name, self._build_engine, self._limits, self._policy)
            )
            round_.loaded.append(slot)
            return slot
        except Overloaded as error:  # a matter of the moment: the engine process was being started again, perhaps
            round_.again = True
            return self._failures.failure(error, file, version.name, version.version)
        except OnsightError as error:
            failure = self._failures.failure(error, file, version.name, version.version)
        except ModuleNotFoundError as error:  # the install's fault, and not the bundle's
            missing = EngineError(
                f"engine: expected the Python package {error.name}, found that it is not installed. Install Onsight's"
                " extra 'server' (CPU) or 'gpu' (CUDA)."
            )
            failure = self._failures.failure(missing, file, version.name, version.version)
        except Exception as error:  # whatever a runtime throws must not keep the others from serving
            failed = EngineError(f"graph: it fails when it runs ({type(error).__name__}). Export it again.")
            failure = self._failures.failure(failed, file, version.name, version.version, cause=error)
        self._unloadable[held] = failure
        return failure

    def _add_kept(self, file: BundleFile, round_: _Round) -> None:
        """Let what this file held before stand for it: the model that serves, else the copy that was kept."""
        if file.key in round_.kept:
            return
        for (key, digest), slot in round_.serving.items():
            if key == file.key and self._is_trusted(slot.model.facts.key_id):
                manifest = slot.model.manifest
                round_.keep(Version(file, manifest.name, manifest.version, digest, manifest, kept=True))
                return
        bundle = self._store.get(file.key, self._trust) if self._store else None
        if bundle is not None:
            round_.copies[file.key] = bundle
            manifest = bundle.manifest
            digest = bundle.manifest_sha256
            round_.keep(Version(file, manifest.name, manifest.version, digest, manifest, kept=True))

    def _is_trusted(self, key_id: str) -> bool:
        try:
            self._trust.get(key_id)
        except OnsightError:
            return False
        return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process after the other, so that loading never takes more than one core from those who answer.

        Not so at the start: nobody answers yet.
        """
        with contextlib.ExitStack() as stack:
            if self._lock is not None and self._registry.loaded:
                with contextlib.suppress(OSError):  # someone tidied the folder away: then side by side
                    fcntl.flock(stack.enter_context(self._lock.open("w")), fcntl.LOCK_EX)
            yield


@dataclass
class _Round:
    """One look on its way to a table.

    serving: what is loaded, from before and in this round.  loaded: in this round.  kept: by file, what stands for a
    bad one; `copies` holds its bytes.  chosen: what is to serve, highest first.  again: the next look tries once more.
    """

    files: tuple[BundleFile, ...]
    serving: dict[Holding, Slot]
    wishes: dict[ModelKey, Wish]
    candidates: dict[ModelKey, list[Version]] = field(default_factory=dict)
    kept: dict[str, Version] = field(default_factory=dict)
    copies: dict[str, Bundle] = field(default_factory=dict)
    loaded: list[Slot] = field(default_factory=list)
    chosen: dict[ModelKey, tuple[tuple[Version, Slot], ...]] = field(default_factory=dict)
    standby: dict[ModelKey, tuple[StandbyVersion, ...]] = field(default_factory=dict)
    failures: dict[Holding, Failure] = field(default_factory=dict)
    again: bool = False

    def add(self, version: Version) -> None:
        key = (version.file.project, version.name)
        self.candidates.setdefault(key, []).append(version)
        self.chosen.pop(key, None)  # choose again: this one may be higher

    def keep(self, version: Version) -> None:
        self.kept[version.file.key] = version
        self.add(version)

    @property
    def serving_versions(self) -> list[Version]:
        return [version for chosen in self.chosen.values() for version, _ in chosen]

    def table(self) -> Table:
        serving = {(version.file.key) for chosen in self.chosen.values() for version, _ in chosen}
        return Table(
            {key: tuple(slot for _, slot in chosen) for key, chosen in self.chosen.items() if chosen},
            tuple(one for key in sorted(self.standby) for one in self.standby[key]),
            tuple(
                replace(failure, kept=key_of(failure.project, failure.file_name) in serving)
                for _, failure in sorted(self.failures.items())
            ),
        )


def _outline(table: Table) -> object:
    return table.digest, table.standby, table.failures


def _is_wanted(version: Version, wish: Wish, chosen: list[str], *, every_version: bool) -> bool:
    if version.version in chosen:
        return False
    return version.version in wish.versions or (wish.follow and (every_version or not chosen))


def _rank(version: Version) -> tuple[object, ...]:
    """Highest version first; of equal ones a file's present content before its earlier copy, the later name first."""
    return natural_order(version.version), not version.kept, version.file.file_name
