"""Make one verified bundle answer: graph against manifest, then the form that serves here, proven and warm."""

from __future__ import annotations

import logging
from time import perf_counter

from bundle.decode import ImageLimits
from bundle.load import Bundle
from bundle.manifest import Manifest, Variant
from server.engines.protocol import EngineFactory, check_manifest_tensors
from server.models.model import ModelFacts, ServedModel
from server.models.variants import FULL_PRECISION, VariantPolicy, choose_proven

log = logging.getLogger("onsight.server")


def load_model(
    bundle: Bundle,
    project: str,
    file_name: str,
    build_engine: EngineFactory,
    limits: ImageLimits,
    policy: VariantPolicy = FULL_PRECISION,
) -> ServedModel:
    """The model, ready for its first request.

    Raises EngineError (ProviderMismatch, GraphMismatch, VariantRefused), GoldenMismatch or MalformedBundle.
    """
    began = perf_counter()
    manifest = bundle.manifest
    check_manifest_tensors(manifest)
    proven = choose_proven(bundle, choose_variant(manifest), build_engine, policy)
    log.info(
        "model ready",
        extra={
            "project": project,
            "model": manifest.name,
            "version": manifest.version,
            "precision": proven.variant.precision,
            "providers": ",".join(proven.engine.providers),
            "golden_difference": float(f"{proven.golden_difference:.3g}"),
            "seconds": round(perf_counter() - began, 2),
        },
    )
    facts = facts_of(bundle, project, file_name)
    return ServedModel(facts, manifest, proven.variant, proven.engine, limits, proven.golden_difference)


def facts_of(bundle: Bundle, project: str, file_name: str) -> ModelFacts:
    return ModelFacts(project, file_name, bundle.manifest_sha256, bundle.key_id)


def choose_variant(manifest: Manifest) -> Variant:
    """The full-precision form, which every machine runs; else the first."""
    return next((variant for variant in manifest.variants if variant.precision == "fp32"), manifest.variants[0])
