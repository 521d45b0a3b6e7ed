"""Label images through a server: one connection a thread."""

from __future__ import annotations

import threading

from onsight.client import RETRIED, Client, ClientError
from onsight.labelling import Answer, Label

# Errors of one image; anything else (no token, no model, no server) would be the same for every image.
OF_THE_IMAGE = frozenset({400, 413, 415, 422})


def server_labeller(url: str, token: str | None, model: str | None) -> tuple[Label, tuple[str, ...]]:
    """A labelling function and the model's labels. model: NAME or PROJECT/NAME; may be left out where there is one.

    Raises ClientError where the server cannot be reached, refuses the token, or has no such model.
    """
    project, _, name = (model or "").rpartition("/")
    connections = threading.local()

    def client() -> Client:
        if not hasattr(connections, "client"):
            connections.client = Client(url, token, project=project or "default", model=name or None)
        found: Client = connections.client
        return found

    with Client(url, token, project=project or "default", model=name or None, retries=0) as first:
        try:
            described = first.describe()
        except ClientError as error:
            if error.status == 401 and not token:
                raise ClientError(
                    f"{url}: expected a token, found none. Give --token, or set ONSIGHT_TOKEN; `onsight token create"
                    " NAME` on the server's machine makes one.",
                    error.status,
                ) from error
            if error.status not in RETRIED:  # a wrong address must not take eight seconds to be told of
                raise
            described = client().describe()

    def label(data: bytes) -> Answer:
        try:
            answer = client().predict(data)
        except ClientError as error:
            if error.status in OF_THE_IMAGE:
                return Answer("", error=str(error))
            raise
        scores = tuple((score["label"], float(score["probability"])) for score in answer["scores"])
        return Answer("", tuple(answer["labels"]), bool(answer["unknown"]), scores)

    return label, tuple(entry["label"] for entry in described["labels"])
