"""onsight demo: the whole way on a real data set, with a server at the end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click

READY_WITHIN_S = 120.0
STOPPED_WITHIN_S = 60.0
EDGE = 16  # pixels of the network's input; the digits were scanned at 8: six seconds of training give 0.99
EPOCHS = 30
LEAST_RIGHT = 0.9
MARK = ".onsight-demo"  # in a folder that is ours to empty


@click.command()
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path, file_okay=False), default="demo", show_default=True,
    metavar="FOLDER", help="Where everything goes; an earlier demo there is replaced.",
)  # fmt: skip
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8000, show_default=True, metavar="N",
    help="The next free one is taken if it is busy.",
)  # fmt: skip
@click.option(
    "--minutes", type=click.FloatRange(0, 60, min_open=True), default=0.5, show_default=True, metavar="N",
    help="Time budget of the training loop.",
)  # fmt: skip
@click.option("--once", is_flag=True, help="Stop the server at the end, and exit with 0 if its answers are right.")
def command(folder: Path, port: int, minutes: float, once: bool) -> None:
    """Train a classifier of handwritten digits, export it, serve it and ask it: a minute or two, without a network.

    Everything goes into one folder, which has keys and tokens of its own; yours stay as they are. The server stays up,
    and the last lines say how to ask it and how to stop it.
    """
    from bundle.home import OnsightHome
    from exporter.export import export_run
    from onsight.client import Client
    from onsight.digits import write_digits
    from onsight.signing import own_key
    from onsight.terminal import TerminalReporter
    from server.tokens import Scope, TokenStore
    from trainer.progress import duration
    from trainer.recipe import Recipe
    from trainer.train import train

    began = time.monotonic()
    folder = folder.absolute()
    mark = folder / MARK
    if folder.exists() and any(folder.iterdir()) and not mark.is_file():
        raise click.UsageError(f"--dir {folder}: expected a new folder or an earlier demo's, found another.")
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()
    _stop_earlier(folder)
    for name in ("images", "new-images", "run", "models", "home"):
        shutil.rmtree(folder / name, ignore_errors=True)
    home = OnsightHome(folder / "home")
    home.path.mkdir()

    _title(1, "1,797 handwritten digits become a folder of images")
    held_out = write_digits(folder / "images", folder / "new-images")
    click.echo(f"{folder / 'images'}: class folders 0 to 9; {len(held_out)} more images are kept aside", err=True)

    _title(2, "onsight train")
    with TerminalReporter() as reporter:
        recipe = Recipe(
            images=str(folder / "images"), minutes=minutes, epochs=EPOCHS, input_height=EDGE, input_width=EDGE,
            validation_fraction=0.15, test_fraction=0.15,
        )  # fmt: skip
        run = train(recipe, folder / "run", home.cache_dir, reporter).run

    _title(3, "onsight export")
    bundle = folder / "models" / "digits.onsight"
    with TerminalReporter() as reporter:
        exported = export_run(run, bundle, own_key(home), name="digits", step=reporter.step)
    parity = exported.manifest.variants[0].parity
    click.echo(f"{bundle}: signed; parity {parity.max_difference:.1e} on {parity.images} images", err=True)

    _title(4, "onsight serve")
    token = TokenStore(home.tokens_path).create("demo", [Scope.PREDICT], datetime.now(UTC))
    port = _free_port(port)
    url = f"http://127.0.0.1:{port}"
    server = _start_server(folder, port)
    try:
        _wait_until_ready(server, url, folder / "server.log")
        _title(5, f"onsight predict: {len(held_out)} images that the model has never seen")
        with Client(url, token, model="digits") as client:
            answers = [client.predict(path) for path, _ in held_out]
    except BaseException:
        _stop(server)
        raise
    seen = [answer.best.label == label for answer, (_, label) in zip(answers, held_out, strict=True)]
    unknown = [answer.unknown for answer in answers]
    right = sum(is_right and not is_unknown for is_right, is_unknown in zip(seen, unknown, strict=True))
    wrong = len(held_out) - right - sum(unknown)
    click.echo(f"{right} of {len(held_out)} right, {wrong} wrong, {sum(unknown)} called unknown", err=True)
    enough = sum(seen) >= LEAST_RIGHT * len(held_out)
    if once or not enough:
        _stop(server)
    if not enough:
        raise click.ClickException(
            f"expected the right digit first in at least {LEAST_RIGHT:.0%} of the answers, found it in {sum(seen)} of"
            f" {len(held_out)}. See {run.report_path}"
        )
    example = held_out[0][0]
    click.echo(f"\nAll of it took {duration(time.monotonic() - began)}.")
    click.echo(f"Report:  {run.report_path}")
    if once:
        click.echo("The server was stopped (--once).")
        return
    (folder / "server.pid").write_text(f"{server.pid}\n")
    click.echo(f"Server:  {url}   (drop an image there; the token is {token})")
    click.echo(f"Ask it:  curl -H 'X-Auth-token: {token}' --data-binary @{example} {url}/api/predict/default/digits")
    click.echo(f"Stop it: kill {server.pid}")


def _title(number: int, text: str) -> None:
    click.echo(click.style(f"\n[{number}/5] {text}", bold=True), err=True)


def _free_port(wanted: int) -> int:
    for port in range(wanted, wanted + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise click.ClickException(
        f"expected a free port from {wanted} on, found 100 busy ones. Choose another with --port."
    )


def _start_server(folder: Path, port: int) -> subprocess.Popen[bytes]:
    command_line = [sys.executable, "-m", "onsight.cli", "serve", str(folder / "models"), "--port", str(port)]
    environment = {**os.environ, "ONSIGHT_HOME": str(folder / "home")}
    with (folder / "server.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - our own program
            command_line, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment,
            start_new_session=True,
        )  # fmt: skip


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOPPED_WITHIN_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _wait_until_ready(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    from onsight.client import Client

    deadline = time.monotonic() + READY_WITHIN_S
    with Client(url) as client:
        while time.monotonic() < deadline and server.poll() is None:
            if client.ready():
                return
            time.sleep(0.2)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise click.ClickException(f"the server was not ready within {READY_WITHIN_S:.0f} s. The end of {log}:\n{tail}")


def _stop_earlier(folder: Path) -> None:
    """Stop the server of an earlier demo in the same folder, if it is still that."""
    pid_file = folder / "server.pid"
    try:
        pid = int(pid_file.read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return
    if str(folder / "models").encode() in arguments:
        os.kill(pid, signal.SIGTERM)
        for _ in range(300):
            if not Path(f"/proc/{pid}").exists():
                break
            time.sleep(0.1)
    pid_file.unlink(missing_ok=True)
