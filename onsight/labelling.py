"""Label many images with a bundle in this process; one answer a file, in order. (remote.py asks a server.)

Both ways give the same `Answer`. An image that cannot be read is an answer too, with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundle.errors import ImageError
from bundle.home import OnsightHome
from bundle.image_limits import ImageLimits, read_image_file
from bundle.in_order import in_order

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jfif", ".jpe", ".dib"})
LARGEST_FILE = ImageLimits(max_bytes=1 << 30)  # what decodes it, here or in a server, has a smaller limit of its own


@dataclass(frozen=True)
class Answer:
    """labels: what is claimed, most probable first.  probabilities: of every label, most probable first."""

    file: str
    labels: tuple[str, ...] = ()
    unknown: bool = False
    probabilities: tuple[tuple[str, float], ...] = ()
    error: str | None = None


Label = Callable[[bytes], Answer]


def find_images(images: Path) -> list[str]:
    """Paths relative to the folder (or the file's own name), sorted; hidden files and folders are passed over.

    A link to nothing is among them: that it cannot be read is an answer too.
    """
    if images.is_file():
        return [images.name]
    named = (path for path in images.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    found = (path.relative_to(images) for path in named if path.is_file() or (path.is_symlink() and not path.exists()))
    return sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))


def label_images(root: Path, files: Sequence[str], label: Label, workers: int) -> Iterator[Answer]:
    """Answers in the order of the files, computed by `workers` threads."""

    def work(file: str) -> Answer:
        try:
            answer = label(read_image_file(root / file, LARGEST_FILE))
        except ImageError as error:
            return Answer(file, error=str(error))
        except OSError as error:
            return Answer(file, error=f"the file cannot be read: {error.strerror or error}")
        return Answer(file, answer.labels, answer.unknown, answer.probabilities, answer.error)

    return in_order(work, files, workers, "label")


def bundle_labeller(path: Path, home: OnsightHome, providers: tuple[str, ...]) -> tuple[Label, tuple[str, ...]]:
    """Verify, load and prove a bundle, also one sealed for this install; its labelling function, and its labels.

    Raises LicenseError where it demands a licence that is not held.
    """
    from bundle.decode import ImageLimits
    from bundle.load import load_bundle
    from bundle.trust import TrustStore
    from licenses.opener import opener_of
    from server.engines.factory import EngineOptions, engine_factory
    from server.models.entitlement import entitlement_of
    from server.models.loader import load_model
    from server.models.shelf import DEFAULT_PROJECT

    bundle = load_bundle(path, TrustStore(home.trust_dir), opener=opener_of(home.licenses_dir))
    entitlement = entitlement_of(home)
    if refusal := entitlement.refusal(bundle.manifest, bundle.manifest_sha256):
        raise refusal
    build = engine_factory(EngineOptions(providers))
    model = load_model(bundle, DEFAULT_PROJECT, path.name, build, ImageLimits())
    if bundle.manifest.license is not None:
        entitlement.remember([bundle.manifest_sha256])

    def label(data: bytes) -> Answer:
        decision = model.predict(data).decision
        scores = tuple((score.label, score.probability) for score in decision.scores)
        return Answer("", decision.labels, decision.unknown, scores)

    return label, model.manifest.labels
