"""How far a GPU's answers stray: from the bundle's golden answers, and from full precision on a CPU.

    python -m benchmarks.gpu.parity model.onsight --photos photos/

Each form of the model that was made for a provider is built there as a server builds it, replays its golden answers
(those of the same graph on a CPU, computed as the export did; it is measured on where they stray too far to serve),
and then answers the photos at the batch sizes that a server runs. `flipped` counts photos that are answered otherwise
than by full precision on a CPU, at the model's thresholds. `unstable` is the largest difference between an image's
answers at two batch sizes. Prints a table and, with --out, writes JSON. Ends with 2 where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bundle.decide import decide
from bundle.errors import OnsightError
from bundle.golden import golden_of, replay_golden
from bundle.home import OnsightHome
from bundle.load import Bundle, load_bundle
from bundle.manifest import Variant
from bundle.preprocess import preprocess
from bundle.trust import TrustStore
from server.engines.device_probe import probe_devices
from server.engines.factory import EngineBuilder, EngineOptions
from server.engines.process.batching import DEFAULT_BATCH_SIZES
from server.engines.process.staging import new_staging
from server.engines.protocol import Engine, Scores
from server.engines.providers import CPU, SHORT_NAMES
from server.models.loader import choose_variant

SIZES = DEFAULT_BATCH_SIZES
CACHE_BYTES = 10 * 1024**3
ANY_DIFFERENCE = 1.0  # of probabilities: replays to the end, whatever the device answers


@dataclass(frozen=True)
class Row:
    """Of one form on one provider. Differences are the largest of a probability; they are None where it does not run.

    golden, golden_tolerance: in the replay, and what the server allows.  from_full: from full precision on a CPU.
    error: why it does not run.
    """

    provider: str
    variant: str
    library: str = ""
    golden: float | None = None
    golden_tolerance: float | None = None
    from_full: float | None = None
    flipped: int | None = None
    unstable: float | None = None
    error: str | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="exported with --variants gpu")
    parser.add_argument("--photos", type=Path, required=True, help="folder of images the model was made for")
    parser.add_argument(
        "--home", type=Path, default=Path("~/.onsight").expanduser(), help="the install that trusts it [%(default)s]"
    )
    parser.add_argument("--provider", action="append", choices=sorted(SHORT_NAMES), help="[cuda and tensorrt]")
    parser.add_argument("--out", type=Path, help="file for the figures as JSON")
    chosen = parser.parse_args()
    names = chosen.provider or ["cuda", "tensorrt"]
    probe = probe_devices()
    if not probe.devices and names != ["cpu"]:
        print(f"expected an NVIDIA GPU, found {probe.reason}", file=sys.stderr)
        sys.exit(2)
    bundle = load_bundle(chosen.bundle, TrustStore(OnsightHome(chosen.home).trust_dir))
    photos = sorted(path for path in chosen.photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    images = np.stack([preprocess(path.read_bytes(), bundle.manifest.preprocessing) for path in photos])
    with tempfile.TemporaryDirectory() as home:
        parity = Parity(bundle, images, Path(home))
        rows = [row for name in names for row in parity.rows(SHORT_NAMES[name])]
    print(table(rows, len(images)))
    if chosen.out:
        document = {"gpu": asdict(probe), "photos": len(images), "rows": [asdict(row) for row in rows]}
        chosen.out.write_text(json.dumps(document, indent=1) + "\n")


class Parity:
    """images: (N, H, W, 3) uint8.  home: of the engine cache."""

    def __init__(self, bundle: Bundle, images: NDArray[np.uint8], home: Path) -> None:
        self._bundle = bundle
        self._images = images
        self._home = home
        self.full = self._open(CPU, choose_variant(bundle.manifest)).infer(images)

    def rows(self, provider: str) -> list[Row]:
        """One for each form that was made for the provider, or for any."""
        variants = self._bundle.manifest.variants
        return [self._row(provider, each) for each in variants if not each.runtimes or provider in each.runtimes]

    def _row(self, provider: str, variant: Variant) -> Row:
        manifest = self._bundle.manifest
        golden, tolerance = golden_of(variant, manifest, self._bundle.files)
        try:
            engine = self._open(provider, variant)
            strayed = replay_golden(golden, manifest, engine.infer, ANY_DIFFERENCE)
            answers = [self._answers(engine, size, provider) for size in SIZES]
        except OnsightError as error:
            return Row(provider, variant.name, error=str(error))
        row = Row(
            provider,
            variant.name,
            engine.library,
            golden=strayed,
            golden_tolerance=tolerance,
            from_full=max(largest(each, self.full) for each in answers),
            flipped=max(self._flipped(each) for each in answers),
            unstable=max(largest(each, answers[0]) for each in answers),
        )
        engine.close()
        return row

    def _answers(self, engine: Engine, size: int, provider: str) -> Scores:
        """Of all images, in batches of this size, as an engine process runs them."""
        staging = new_staging(engine, self._bundle.manifest, SIZES, fixed=provider != CPU)
        found = []
        for at in range(0, len(self._images), size):
            part = list(self._images[at : at + size])
            staging.put(0, part)
            found.append([each.copy() for each in staging.infer(len(part))])
        probabilities, logits = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return probabilities, logits

    def _open(self, provider: str, variant: Variant) -> Engine:
        sizes = () if provider == CPU else SIZES
        options = EngineOptions((provider,), batch_sizes=sizes, home=self._home, engine_cache_bytes=CACHE_BYTES)
        return EngineBuilder(options).build(self._bundle.manifest, self._bundle.files[variant.file])

    def _flipped(self, found: Scores) -> int:
        wanted = self._labels(self.full)
        return sum(one != other for one, other in zip(self._labels(found), wanted, strict=True))

    def _labels(self, scores: Scores) -> list[tuple[str, ...]]:
        return [decide(self._bundle.manifest, *row).labels for row in zip(*scores, strict=True)]


def largest(found: Scores, wanted: Scores) -> float:
    """Of a probability."""
    return float(np.abs(found[0].astype(np.float64) - wanted[0]).max())


def table(rows: Sequence[Row], photos: int) -> str:
    """Markdown."""
    lines = ["| provider | form | golden (allowed) | full precision on CPU | flipped | unstable |"]
    lines.append("|---|---|---:|---:|---:|---:|")
    for row in rows:
        if row.error is not None:
            lines.append(f"| {row.provider} | {row.variant} | does not run: {row.error} | | | |")
            continue
        lines.append(
            f"| {row.provider} | {row.variant} | {_figure(row.golden)} ({_figure(row.golden_tolerance)})"
            f" | {_figure(row.from_full)} | {row.flipped} of {photos} | {_figure(row.unstable)} |"
        )
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


if __name__ == "__main__":
    main()
