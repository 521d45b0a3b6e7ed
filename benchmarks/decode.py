"""Compare decoders: Pillow, simplejpeg in full and scaled, opencv where it is installed, and our own `preprocess`.

    python -m benchmarks.decode

Every candidate takes the same JPEG to a 224 x 224 RGB array on one thread. Rounds alternate between the candidates and
the fastest of each counts, so that a busy machine disturbs the ratios little. Figures are milliseconds an image, and
how many times faster than Pillow. Prints a Markdown table.
"""

from __future__ import annotations

import importlib
import io
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

from bundle.manifest import PreprocessSpec
from bundle.preprocess import preprocess

SIDE = 224
SIZES = ((480, 640), (1080, 1920), (3000, 4000))
ROUNDS = 15
SPEC = PreprocessSpec(height=SIDE, width=SIDE)
FULL = PreprocessSpec(height=SIDE, width=SIDE, jpeg_scaled_decode=False)

Candidate = Callable[[bytes], Any]


def photograph(height: int, width: int) -> bytes:
    """A JPEG (quality 85, 4:2:0) with a photograph's mix of smooth parts and fine noise."""
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, 255, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.int16)
    noisy = (smooth + draw.integers(-8, 8, smooth.shape, dtype=np.int16)).clip(0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(noisy).save(out, "JPEG", quality=85)
    return out.getvalue()


def shrink(image: Image.Image) -> np.ndarray[Any, Any]:
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def pillow(data: bytes) -> Any:
    return shrink(Image.open(io.BytesIO(data)).convert("RGB"))


def pillow_draft(data: bytes) -> Any:
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (2 * SIDE, 2 * SIDE))
    return shrink(image)


def simplejpeg_full(data: bytes) -> Any:
    return shrink(Image.fromarray(simplejpeg.decode_jpeg(data, "RGB")))


def simplejpeg_scaled(data: bytes) -> Any:
    """The smallest of all eighths that is large enough; `preprocess` keeps to 1/2, 1/4 and 1/8: they have fast code."""
    return shrink(Image.fromarray(simplejpeg.decode_jpeg(data, "RGB", min_height=2 * SIDE, min_width=2 * SIDE)))


def candidates() -> dict[str, Candidate]:
    found: dict[str, Candidate] = {
        "Pillow": pillow,
        "Pillow, draft": pillow_draft,
        "simplejpeg": simplejpeg_full,
        "simplejpeg, any scale": simplejpeg_scaled,
        "preprocess, in full": lambda data: preprocess(data, FULL),
        "**preprocess**": lambda data: preprocess(data, SPEC),
    }
    try:
        cv2 = importlib.import_module("cv2")
    except ImportError:
        return found
    cv2.setNumThreads(1)

    def opencv(data: bytes) -> Any:
        pixels = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)

    return {**found, "opencv, area": opencv}


def measure(data: bytes, functions: dict[str, Candidate]) -> dict[str, float]:
    """Milliseconds an image, the fastest of the rounds."""
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(ROUNDS):
        for name, function in functions.items():
            start = time.perf_counter()
            function(data)
            best[name] = min(best[name], (time.perf_counter() - start) * 1000)
    return best


def main() -> None:
    functions = candidates()
    results = []
    for height, width in SIZES:
        data = photograph(height, width)
        print(f"{width} x {height}, {len(data) // 1024} KiB", file=sys.stderr)
        results.append(measure(data, functions))
    print("| decode and resize to 224 x 224 |" + "".join(f" {width} x {height} |" for height, width in SIZES))
    print("|---|" + "---:|" * len(SIZES))
    for name in functions:
        cells = (f" {result[name]:.2f} ms ({result['Pillow'] / result[name]:.1f}x) |" for result in results)
        print(f"| {name} |" + "".join(cells))


if __name__ == "__main__":
    main()
