"""python -m trainer.index FILES OUT: read the features of image files into the cache of ONSIGHT_HOME.

FILES: a JSON list of absolute paths. OUT: a folder; its run/events.jsonl tells the progress, and the file `indexed`
that all are read. With the network that trainings take unless told otherwise, so that they find the features there.
Stopped at any moment, the next call goes on from there.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from bundle.home import OnsightHome
from bundle.manifest import PreprocessSpec
from trainer.backbone import BUILT_IN, DEFAULT_NAME, read_backbone_spec
from trainer.encoders import backbone_encoder
from trainer.feature_index import FeatureIndex, write_index
from trainer.features import extract
from trainer.progress import RecordingReporter, SilentReporter
from trainer.run import Run

_AT_ONCE = 4096  # files; the table of one pass is held in memory


def index_files(files: list[str], out: Path, cache_dir: Path) -> dict[str, str]:
    """Returns the files that could not be read, and why."""
    run = Run(out / "run")
    run.folder.mkdir(parents=True, exist_ok=True)
    run.append_event("start", resumed=False)
    reporter = RecordingReporter(run, SilentReporter())
    backbone = read_backbone_spec(BUILT_IN / DEFAULT_NAME)
    spec = PreprocessSpec(height=backbone.height, width=backbone.width)
    encoder = backbone_encoder(backbone, spec, cache_dir, reporter.say)
    assert encoder.graph_path is not None
    write_index(
        cache_dir,
        FeatureIndex(
            backbone=DEFAULT_NAME, preprocess=spec, folder=str(encoder.cache.folder), graph=str(encoder.graph_path)
        ),
    )
    unreadable: dict[str, str] = {}
    workers = len(os.sched_getaffinity(0))
    for start in range(0, len(files), _AT_ONCE):
        paths = [file.removeprefix("/") for file in files[start : start + _AT_ONCE]]

        def progress(done: int, _total: int, before: int = start) -> None:
            reporter.progress("features", before + done, len(files))

        found = extract(
            Path("/"), paths, spec, encoder.encode, encoder.cache, workers=workers, progress=progress
        )  # fmt: skip
        unreadable |= found.unreadable
    return unreadable


def main(arguments: list[str]) -> None:
    files, out = (Path(argument) for argument in arguments)
    unreadable = index_files(json.loads(files.read_bytes()), out, OnsightHome.from_environment().cache_dir)
    (out / "indexed").write_text(json.dumps(unreadable))


if __name__ == "__main__":
    main(sys.argv[1:])
