"""A Hugging Face Hub on loopback with one model, which remembers what it was asked for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = "maker/tiny"


class FakeHub:
    """files: of the model.  revisions: names that mean COMMIT.  asked: "METHOD path" of every request."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.revisions = {"main", "v1", COMMIT}
        self.asked: list[str] = []
        self.endpoint = ""

    @property
    def fetched(self) -> set[str]:
        """Names of the files whose content was asked for."""
        return {line.rpartition("/")[2] for line in self.asked if line.startswith("GET") and "/resolve/" in line}


@contextmanager
def fake_hub(folder: Path, **more: bytes) -> Iterator[FakeHub]:
    """A hub whose model has the files of `folder`, and others: fake_hub(folder, **{"pytorch_model.bin": b"..."})."""
    hub = FakeHub({path.name: path.read_bytes() for path in folder.iterdir()} | more)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append(f"{self.command} {path}")
            parts = path.removeprefix("/api/models").strip("/").split("/")
            owner_and_name, rest = "/".join(parts[:2]), parts[2:]
            revision = rest[1] if len(rest) > 1 else "main"
            if owner_and_name != MODEL:
                self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            elif revision not in hub.revisions:
                self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            elif rest[:1] == ["resolve"]:
                data = hub.files["/".join(rest[2:])]
                self._send(200, data, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT})
            elif rest[:1] == ["tree"]:
                tree = [
                    {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for name, data in hub.files.items()
                ]
                self._send(200, json.dumps(tree).encode(), {"Content-Type": "application/json"})
            else:
                facts = {"id": MODEL, "sha": COMMIT, "siblings": [{"rfilename": name} for name in hub.files]}
                self._send(200, json.dumps(facts).encode(), {"Content-Type": "application/json"})

        do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)
