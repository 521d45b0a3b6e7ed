"""The folder of a job: what its process is given and what it leaves. Laid out in steps that can be repeated.

images/  labels.json    the data set, as links to the stored files where they lie on the same disk
files.json  indexed     of a reading of features: the files, and the sign that it is done
run/                    the trainer's run folder
predict/                bundles of a training, to be predicted with (studio.predict.bundles)
NAME.onsight            the exporter's bundle
log.txt                 what the process printed
process.lock            held by the process as long as it lives
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bundle.files import write_atomically
from studio.errors import Conflict
from studio.images.blobs import Blobs
from studio.jobs.dataset import DatasetImage
from studio.jobs.inputs import ExportInput, TrainingInput
from studio.jobs.process import JobProcess
from studio.jobs.queue import Kind
from trainer.run_folder import RunFolder

PREDICT_FOLDER = "predict"
_KILLED_WITHIN_S = 10.0
_ONSIGHT = (sys.executable, "-m", "onsight.cli")


class JobFolder:
    def __init__(self, root: Path, public_id: str) -> None:
        """root: of all jobs."""
        self.root = root
        self.folder = root / public_id
        self.images = self.folder / "images"
        self.labels_path = self.folder / "labels.json"
        self.files_path = self.folder / "files.json"
        self.run = RunFolder(self.folder / "run")
        self.log_path = self.folder / "log.txt"
        self.lock_path = self.folder / "process.lock"

    def bundle_path(self, name: str) -> Path:
        return self.folder / f"{name}.onsight"

    def is_complete(self, job: Any) -> bool:
        """Whether the job of this row has left what it was to make."""
        if job.kind == Kind.TRAINING:
            return self.run.complete
        if job.kind == Kind.FEATURES:
            return (self.folder / "indexed").is_file()
        return self.bundle_path(ExportInput.model_validate(job.input).name).is_file()

    def lay_out(
        self, version: Sequence[DatasetImage], originals: Blobs, use_flags: bool, alive: Callable[[], None]
    ) -> None:
        """Images and label file of a training; an image that was removed since is left out. alive: called after each.

        The label file comes last and whole, so where it is, all is there.
        """
        if self.labels_path.is_file():
            return
        self.images.mkdir(parents=True, exist_ok=True)
        rows = []
        for image in version:
            name = f"{image.image}.{image.format.lower()}"
            with suppress(FileNotFoundError):
                _place(originals, image.sha256, self.images / name)
                row: dict[str, Any] = {"file": name, "labels": list(image.labels)}
                if use_flags:
                    row["split"] = "validation" if image.validation else "train"
                rows.append(row)
            alive()
        write_atomically(self.labels_path, json.dumps(rows, ensure_ascii=False).encode())

    def list_files(self, digests: Sequence[str], originals: Blobs, alive: Callable[[], None]) -> None:
        """The files whose features are to be read: where they lie, else copies. alive: called after each."""
        if self.files_path.is_file():
            return
        self.images.mkdir(parents=True, exist_ok=True)
        found = []
        for digest in digests:
            with suppress(FileNotFoundError):
                path = originals.path(digest)
                if path is None:
                    path = self.images / digest
                    _place(originals, digest, path)
                found.append(str(path))
            alive()
        write_atomically(self.files_path, json.dumps(found).encode())

    def command(self, job: Any) -> list[str]:
        """What to start: from the beginning, or on from where it was. Raises Conflict where its training is gone."""
        if job.kind == Kind.FEATURES:
            return [sys.executable, "-m", "trainer.index", str(self.files_path), str(self.folder)]
        if job.kind == Kind.EXPORT:
            export = ExportInput.model_validate(job.input)
            trained = JobFolder(self.root, export.training)
            if not trained.run.trained:
                raise Conflict("The model that was to be exported is not there any more.", "NOT_TRAINED")
            self.folder.mkdir(parents=True, exist_ok=True)
            command = trained.export_command(self.bundle_path(export.name), export)
            if export.thresholds is None:
                return command
            path = self.folder / "thresholds.json"
            write_atomically(path, json.dumps(export.thresholds, ensure_ascii=False).encode())
            return [*command, "--thresholds", str(path)]
        if self.run.exists:
            return [*_ONSIGHT, "train", "--resume", "--out", str(self.run.folder)]
        shutil.rmtree(self.run.folder, ignore_errors=True)  # a half-written file would be taken for somebody else's
        begin = [str(self.images), "--out", str(self.run.folder), "--labels", str(self.labels_path)]
        wanted = TrainingInput.model_validate(job.input)
        if wanted.warm_start is not None:
            begin += ["--warm-start", str(JobFolder(self.root, wanted.warm_start).run.folder)]
        return [*_ONSIGHT, "train", *begin, *wanted.options()]

    def export_command(self, out: Path, export: ExportInput) -> list[str]:
        """What exports this training's model."""
        return [*_ONSIGHT, "export", str(self.run.folder), "--out", str(out), *export.options()]

    def complaint(self, start: int = 0, path: Path | None = None) -> str:
        """The last line that the process printed after byte `start` of its log, without this machine's paths.

        path: of another log than the job's own.
        """
        with suppress(OSError), (path or self.log_path).open("rb") as log:
            log.seek(max(start, log.seek(0, os.SEEK_END) - 20_000))
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
            said = [line for line in lines if line]
            if said:
                return self._without_folders(said[-1].removeprefix("Error: "))[:1000]
        return "It ended without a word."

    def log_tail(self, most_bytes: int) -> str:
        """The end of what its processes printed, without this machine's paths; empty before the first."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(0, self.log_path.stat().st_size - most_bytes))
                text = log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return self._without_folders(text)

    def _without_folders(self, text: str) -> str:
        """Its own, and other jobs': an export reads the folder of its training."""
        for folder in (self.folder, self.root):
            text = text.replace(f"{folder}/", "").replace(str(folder), "")
        return text

    def remove(self) -> None:
        """With what still runs in it."""
        for lock in (self.lock_path, *self.folder.glob(f"{PREDICT_FOLDER}/*.lock")):
            process = JobProcess.find(lock)
            if process is not None:
                process.send(signal.SIGKILL)
                process.wait(_KILLED_WITHIN_S)
        shutil.rmtree(self.folder, ignore_errors=True)


def _place(originals: Blobs, digest: str, target: Path) -> None:
    """Raises FileNotFoundError where the image is stored no more."""
    if target.exists():
        return
    source = originals.path(digest)
    if source is not None:
        with suppress(FileExistsError):
            try:
                os.link(source, target)
                return
            except FileNotFoundError:
                raise
            except OSError:  # another file system, or too many links
                pass
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.write_bytes(originals.read(digest))
    temporary.replace(target)
