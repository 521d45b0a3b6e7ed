"""The nginx of this machine, with our configuration, on free ports."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from running_server import ROOT, Reply, free_port

TEMPLATE = ROOT / "docker/nginx/nginx.conf.template"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
VARIABLE = re.compile(r"\$\{(ONSIGHT_[A-Z_]+)\}")


@dataclass
class RunningNginx:
    """http, https: ports of 127.0.0.1.  tls: trusts its certificate, whose name is localhost."""

    http: int
    https: int
    tls: ssl.SSLContext
    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def wait_for_line(self, text: str) -> None:
        """nginx writes a request's line after it has sent the answer."""
        end = time.monotonic() + 60
        while text not in self.log:
            assert time.monotonic() < end, f"no {text} in nginx's log: {self.log}"
            time.sleep(0.02)

    def ask(
        self, method: str, path: str, body: bytes | None = None, token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:  # fmt: skip
        """Over TLS, on a connection of its own."""
        connection = http.client.HTTPSConnection("localhost", self.https, timeout=20, context=self.tls)
        try:
            connection.request(method, path, body, {**({"X-Auth-token": token} if token else {}), **(headers or {})})
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate of localhost, and its key."""
    certificate, key = folder / "tls.crt", folder / "tls.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def render(template: str, values: Mapping[str, str]) -> str:
    """What the official image does at its start. Raises KeyError for a variable without a value."""
    return VARIABLE.sub(lambda match: values[match[1]], template)


@contextmanager
def nginx_before(upstream_port: int, folder: Path, **changed: str) -> Iterator[RunningNginx]:
    """Ended by SIGTERM, which must give exit code 0. changed: variables of the template, without their prefix."""
    assert NGINX is not None
    certificate, key = make_certificate(folder)
    http_port, https_port = free_port(), free_port()
    values = {
        "UPSTREAM": f"127.0.0.1:{upstream_port}",
        "NGINX_HTTP": f"127.0.0.1:{http_port}",
        "NGINX_HTTPS": f"127.0.0.1:{https_port}",
        "NGINX_HTTPS_SUFFIX": f":{https_port}",
        "NGINX_TMP": str(folder),
        "NGINX_ACCESS_LOG": "/dev/stdout",
        "MAX_REQUEST_BYTES": "134217728",
        "CONNECTIONS_PER_CLIENT": "256",
        "METRICS_FROM": "192.0.2.1",
        "TLS_CERTIFICATE": str(certificate),
        "TLS_KEY": str(key),
        "HSTS": "",
        **changed,
    }
    configuration, log = folder / "nginx.conf", folder / "nginx.log"
    configuration.write_text(render(TEMPLATE.read_text(), {f"ONSIGHT_{name}": value for name, value in values.items()}))
    user = "user root;" if os.geteuid() == 0 else ""  # the test's folder is root's own then
    with log.open("ab") as out:
        process = subprocess.Popen(
            [NGINX, "-c", configuration, "-e", "stderr", "-g", f"daemon off; pid {folder}/nginx.pid; {user}"],
            stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    nginx = RunningNginx(http_port, https_port, ssl.create_default_context(cafile=certificate), process, log)
    try:
        _wait_until_open(nginx)
        yield nginx
        process.terminate()
        assert process.wait(20) == 0, nginx.log
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # its workers would outlive it
            process.wait()


def _wait_until_open(nginx: RunningNginx) -> None:
    end = time.monotonic() + 60
    while True:
        assert nginx.process.poll() is None, f"nginx ended: {nginx.log}"
        try:
            with socket.create_connection(("127.0.0.1", nginx.https), 5) as plain:
                nginx.tls.wrap_socket(plain, server_hostname="localhost").close()
            return
        except OSError:
            assert time.monotonic() < end, f"nginx is not there: {nginx.log}"
            time.sleep(0.02)
