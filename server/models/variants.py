"""Which form of a model serves on this machine: full precision, or a certified variant that is faster here.

In this order: what the setting allows and the certificates permit; engine and golden replay of each; where both are
left to choose from, a few timed images on both, alternating. The first process of a server that measures writes down
what it found, and the others follow: two workers never answer differently. A variant without a certificate that
passes is never run. Knows neither HTTP nor the models folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from bundle.errors import GoldenMismatch
from bundle.files import write_atomically
from bundle.golden import Golden, golden_of, replay_golden
from bundle.load import Bundle
from bundle.manifest import Manifest, Variant
from bundle.preprocess import preprocess
from server.engines.protocol import Engine, EngineFactory, replicas_of
from server.engines.providers import CPU
from server.errors import EngineError, VariantRefused

log = logging.getLogger("onsight.server")

Wanted = Literal["auto", "fp32", "fp16", "int8"]
ROUNDS: Final = 7
LONGEST_S: Final = 1.0  # of measuring, beyond the second round
BATCH_ON_ACCELERATOR: Final = 8  # one image tells little there: starting kernels takes longer than computing them
WORTH_IT: Final = 0.95  # of full precision's time: a variant that gains less is not worth what it loses


@dataclass(frozen=True, slots=True)
class VariantPolicy:
    """precision: what may serve; `auto` measures.  notes: a folder where processes of one server share what they found;
    None for a process of its own.  providers: what is to run models, first choice first: of two variants of one
    precision, the one that was made for it is tried first.
    """

    precision: Wanted = "fp32"
    notes: Path | None = None
    providers: tuple[str, ...] = ()


FULL_PRECISION: Final = VariantPolicy()


@dataclass(frozen=True, slots=True)
class Proven:
    """A variant's engine, warm, and the largest difference in its golden replay."""

    variant: Variant
    engine: Engine
    golden_difference: float


def choose_proven(bundle: Bundle, full: Variant, build_engine: EngineFactory, policy: VariantPolicy) -> Proven:
    """The form that serves. full: the bundle's full precision, or the first variant of a bundle without it.

    Raises VariantRefused where the setting asks for what is not there or not certified, EngineError, GoldenMismatch or
    MalformedBundle.
    """
    builder = _Builder(bundle, build_engine)
    if policy.precision != "auto" and policy.precision != full.precision:
        return _first_that_runs(builder, _certified(bundle, policy))
    if not full.may_serve:
        raise refused(bundle.manifest, full)
    others = [each for each in bundle.manifest.variants if each is not full] if policy.precision == "auto" else []
    for each in others:
        if not each.may_serve:
            builder.warn(each, _why(each))
    others = [each for each in others if each.may_serve]
    if not others:
        return builder.prove(full)
    with _locked(policy.notes):
        noted = _read_note(policy.notes, bundle, (full, *others))
        if noted is not None:
            try:
                return builder.prove(noted)
            except (EngineError, GoldenMismatch) as error:
                if noted is full:
                    raise
                builder.warn(noted, str(error))  # another provider runs it by now: measured anew
        chosen = _measure(builder, full, others)
        _write_note(policy.notes, bundle, chosen.variant)
    return chosen


def prove_variant(bundle: Bundle, variant: Variant, build_engine: EngineFactory) -> Proven:
    """One form by itself: its engine, golden replay and first runs. Raises as `choose_proven` does."""
    return _Builder(bundle, build_engine).prove(variant)


def _measure(builder: _Builder, full: Variant, others: list[Variant]) -> Proven:
    """Prove full precision, then each variant made for what really runs it, and keep the fastest."""
    proven = [builder.prove(full)]
    chosen: Proven | None = None
    try:
        providers = proven[0].engine.providers
        for variant in others:
            if _is_made_for(variant, providers):
                try:
                    proven.append(builder.prove(variant))
                except (EngineError, GoldenMismatch) as error:  # full precision serves all the same
                    builder.warn(variant, str(error))
        chosen = _fastest(builder, proven) if len(proven) > 1 else proven[0]
    finally:
        for each in proven:
            if each is not chosen:
                each.engine.close()
    return chosen


def _first_that_runs(builder: _Builder, variants: Sequence[Variant]) -> Proven:
    """Of one precision's variants, that which serves on what really runs it. The first one's refusal tells, if none."""
    refusals: list[EngineError] = []
    for variant in variants:
        try:
            return builder.prove(variant)
        except EngineError as error:
            refusals.append(error)
    raise refusals[0]


def _fastest(builder: _Builder, proven: list[Proven]) -> Proven:
    """proven: full precision first."""
    count = 1 if proven[0].engine.providers[0] == CPU else BATCH_ON_ACCELERATOR
    times_ms = time_engines({each.variant.name: each.engine for each in proven}, builder.images(count))
    chosen, limit_ms = proven[0], WORTH_IT * times_ms[proven[0].variant.name]
    for each in proven[1:]:
        if times_ms[each.variant.name] < limit_ms:
            chosen, limit_ms = each, times_ms[each.variant.name]
    told = {f"{name}_ms": round(time_ms, 3) for name, time_ms in times_ms.items()}
    log.info("variant chosen", extra={**builder.told, "variant": chosen.variant.name, **told})
    return chosen


def time_engines(engines: Mapping[str, Engine], images: NDArray[np.uint8]) -> dict[str, float]:
    """Milliseconds for a batch (N,H,W,3) uint8, by name: the least of a few rounds, as nothing but noise adds to it.

    Engines take turns, so that what else the machine does meets all of them.
    """
    least = dict.fromkeys(engines, float("inf"))
    began = perf_counter()
    for number in range(ROUNDS):
        if number >= 2 and perf_counter() - began > LONGEST_S:
            break
        for name, engine in engines.items():
            started = perf_counter()
            engine.infer(images)
            least[name] = min(least[name], perf_counter() - started)
    return {name: seconds * 1e3 for name, seconds in least.items()}


class _Builder:
    """Variants of one bundle, proven."""

    def __init__(self, bundle: Bundle, build_engine: EngineFactory) -> None:
        self._bundle = bundle
        self._build_engine = partial(build_engine, private=bundle.sealed)
        self.told = {"model": bundle.manifest.name, "version": bundle.manifest.version}  # of log lines

    def warn(self, variant: Variant, reason: str) -> None:
        log.warning("variant does not serve", extra={**self.told, "variant": variant.name, "reason": reason})

    def images(self, count: int) -> NDArray[np.uint8]:
        """The first golden image so many times, (count,H,W,3)."""
        manifest = self._bundle.manifest
        golden = Golden.from_bytes(self._bundle.files[manifest.golden])
        return np.repeat(preprocess(golden.images[0], manifest.preprocessing)[np.newaxis], count, axis=0)

    def prove(self, variant: Variant) -> Proven:
        manifest, files = self._bundle.manifest, self._bundle.files
        engine = self._build_engine(manifest, files[variant.file])
        try:
            if not _is_made_for(variant, engine.providers):
                raise VariantRefused(
                    f"{manifest.name}: expected variant {variant.name} to run on {' or '.join(variant.runtimes)}, as it"
                    f" was made for, found {', '.join(engine.providers)}. Set ONSIGHT_PRECISION to auto or fp32."
                )
            golden, tolerance = golden_of(variant, manifest, files)
            difference = max(replay_golden(golden, manifest, infer, tolerance) for infer in replicas_of(engine))
            engine.warm_up()
        except BaseException:
            engine.close()
            raise
        return Proven(variant, engine, difference)


def _is_made_for(variant: Variant, providers: Sequence[str]) -> bool:
    """providers: of an engine; of several devices all that run it.  An accelerator leaves some nodes to the CPU."""
    runtimes = variant.runtimes
    return not runtimes or (providers[0] in runtimes and {*providers} <= {*runtimes, CPU})


def _certified(bundle: Bundle, policy: VariantPolicy) -> list[Variant]:
    """Variants of the precision that the setting names and that may serve, the likeliest to run here first."""
    found = [each for each in bundle.manifest.variants if each.precision == policy.precision]
    serving = [each for each in found if each.may_serve]
    if serving:
        return sorted(serving, key=lambda each: not _is_made_for(each, policy.providers[:1] or (CPU,)))
    if found:
        raise refused(bundle.manifest, found[0])
    raise VariantRefused(
        f"{bundle.manifest.name}: expected a variant of precision {policy.precision}, as ONSIGHT_PRECISION says, found"
        " none. Export it with --variants all, or set ONSIGHT_PRECISION to auto."
    )


def refused(manifest: Manifest, variant: Variant) -> VariantRefused:
    """Of a variant that may not serve, why."""
    return VariantRefused(
        f"{manifest.name}: expected a certificate that variant {variant.name} answers as full precision does,"
        f" found that {_why(variant)}. Export the bundle again."
    )


def _why(variant: Variant) -> str:
    return "it has none" if variant.certificate is None else "; ".join(variant.certificate.failures)


@contextlib.contextmanager
def _locked(folder: Path | None) -> Iterator[None]:
    """One process at a time measures; without a folder, or where it is gone, each for itself."""
    with contextlib.ExitStack() as stack:
        if folder is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(stack.enter_context((folder / ".lock").open("w")), fcntl.LOCK_EX)
        yield


def _read_note(folder: Path | None, bundle: Bundle, variants: tuple[Variant, ...]) -> Variant | None:
    with contextlib.suppress(OSError):
        if folder is not None:
            name = (folder / bundle.manifest_sha256).read_text(encoding="utf-8", errors="replace")
            return next((each for each in variants if each.name == name), None)
    return None


def _write_note(folder: Path | None, bundle: Bundle, variant: Variant) -> None:
    with contextlib.suppress(OSError):
        if folder is not None:
            write_atomically(folder / bundle.manifest_sha256, variant.name.encode())
