"""Label images through a server: one client, several requests under way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from onsight.client import Client, Refused
from onsight.labelling import Answer


def labels_of_server(client: Client, has_token: bool) -> tuple[str, ...]:
    """The labels of the client's model.

    Raises ClientError where the server cannot be reached, refuses the token, or has no such model.
    """
    try:
        return tuple(each.label for each in client.describe().labels)
    except Refused as error:
        if error.status == 401 and not has_token:
            raise Refused(
                f"{client.origin}: expected a token, found none. Give --token, or set ONSIGHT_TOKEN; `onsight token"
                " create NAME` on the server's machine makes one.",
                status=error.status,
                code=error.code,
                request_id=error.request_id,
            ) from error
        raise


def ask_about_images(client: Client, root: Path, files: Sequence[str], requests: int) -> Iterator[Answer]:
    """Answers in the order of the files, which lie below root. requests: at a time. Raises ClientError."""
    with closing(client.predict_many((root / file for file in files), concurrency=requests)) as results:
        for file, result in zip(files, results, strict=True):
            if result.prediction is None:
                yield Answer(file, error=str(result.error))
            else:
                found = result.prediction
                scores = tuple((score.label, score.probability) for score in found.scores)
                yield Answer(file, found.labels, found.unknown, scores)
