"""Make one verified bundle answer: engine, graph against manifest, golden replay on the real provider, warm-up."""

from __future__ import annotations

import logging
from time import perf_counter

from bundle.decode import ImageLimits
from bundle.golden import Golden, replay_golden
from bundle.load import Bundle
from bundle.manifest import Manifest, Variant
from server.engines.protocol import EngineFactory, check_manifest_tensors
from server.models.model import ModelFacts, ServedModel

log = logging.getLogger("onsight.server")


def load_model(
    bundle: Bundle, project: str, file_name: str, build_engine: EngineFactory, limits: ImageLimits
) -> ServedModel:
    """The model, ready for its first request.

    Raises EngineError (ProviderMismatch, GraphMismatch), GoldenMismatch or MalformedBundle.
    """
    began = perf_counter()
    manifest = bundle.manifest
    check_manifest_tensors(manifest)
    engine = build_engine(manifest, bundle.files[choose_variant(manifest).file])
    try:
        difference = replay_golden(Golden.from_bytes(bundle.files[manifest.golden]), manifest, engine.infer)
        engine.warm_up()
    except BaseException:
        engine.close()
        raise
    log.info(
        "model ready",
        extra={
            "project": project,
            "model": manifest.name,
            "version": manifest.version,
            "providers": ",".join(engine.providers),
            "golden_difference": float(f"{difference:.3g}"),
            "seconds": round(perf_counter() - began, 2),
        },
    )
    return ServedModel(facts_of(bundle, project, file_name), manifest, engine, limits, difference)


def facts_of(bundle: Bundle, project: str, file_name: str) -> ModelFacts:
    return ModelFacts(project, file_name, bundle.manifest_sha256, bundle.key_id)


def choose_variant(manifest: Manifest) -> Variant:
    """The full-precision form, which every machine runs; else the first."""
    return next((variant for variant in manifest.variants if variant.precision == "fp32"), manifest.variants[0])
