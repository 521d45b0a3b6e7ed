"""How a bundle gets to work on another machine: exact commands for each kind of target, as steps and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from bundle.manifest import Manifest

KEY_FILE = "maker.pem"


@dataclass(frozen=True, slots=True)
class Step:
    """text: what it does, a sentence.  commands: in order, for a shell; none where there is nothing to type."""

    text: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    id: str
    title: str
    needs: str
    steps: tuple[Step, ...]


def targets_for(manifest: Manifest, file_name: str, sha256: str, key_id: str) -> tuple[Target, ...]:
    """file_name: as the bundle is downloaded; the maker's key comes beside it as `maker.pem`."""
    check = Step("Check that the file arrived whole.", (f'echo "{sha256}  {file_name}" | sha256sum --check',))
    name, project = manifest.name, "default"
    ask = Step(
        "Ask it, with the token that was printed: TOKEN=onsight_...",
        (
            "curl -s localhost:8000/health/ready",
            f'curl -s -H "X-Auth-token: $TOKEN" --data-binary @photo.jpg localhost:8000/v1/predict/{project}/{name}',
        ),
    )
    return (
        Target(
            "here", "A first try", "An installation of Onsight for a user; no root",
            (check,
             Step(f"Trust the key that signed it, {key_id}; needless on the machine where it was made.",
                  (f"onsight trust add {KEY_FILE} --name maker",)),
             *_license(manifest, "onsight", ""),
             Step("Make a token, put the bundle into a folder of models, and serve that. Ctrl-C ends the server.",
                  ("onsight token create my-app", "mkdir -p models", f"cp {file_name} models/",
                   "onsight serve models --port 8000")),
             ask),
        ),
        Target(
            "linux-cpu", "Linux", "Linux with Python 3.11 or newer and venv, root, Onsight's source tree",
            (check, Step("Install the server as a system service.", ("sudo scripts/install_linux.sh --service",)),
             *_service(manifest, file_name, key_id), ask),
        ),
        Target(
            "linux-gpu", "Linux with an NVIDIA GPU", "As Linux; a driver of version 580 or newer for CUDA 13",
            (check, Step("Install the server as a system service, with ONNX Runtime for CUDA.",
                         ("sudo scripts/install_linux.sh --service --gpu",)),
             Step("Let models run on the GPU.",
                  ("echo ONSIGHT_PROVIDERS=cuda | sudo tee -a /etc/onsight/onsight.env",
                   "sudo systemctl restart onsight")),
             *_service(manifest, file_name, key_id), ask),
        ),
        Target(
            "docker", "Docker", "Docker or Podman, and the image onsight:cpu, which docker/Dockerfile builds",
            (check, *_docker(manifest, file_name, key_id), ask),
        ),
        Target(
            "air-gapped", "Without a network", "A machine with a network, the same Python and processor, to pack on",
            (Step("Where there is a network, in Onsight's source tree: pack what the host needs.",
                  ("onsight pack-offline onsight-offline --tar",)),
             Step(f"Carry onsight-offline.tar, {file_name} and {KEY_FILE} to the host. There:",
                  ("tar xf onsight-offline.tar",
                   "(cd onsight-offline && sudo scripts/install_linux.sh --offline . --service)")),
             check, *_service(manifest, file_name, key_id), ask),
        ),
    )  # fmt: skip


def as_markdown(manifest: Manifest, file_name: str, targets: tuple[Target, ...]) -> str:
    """All targets in one text, to be carried along with the bundle."""
    lines = [f"# {manifest.name} {manifest.version}", "", f"`{file_name}`: {', '.join(manifest.labels)}.", ""]
    for target in targets:
        lines += [f"## {target.title}", "", f"Needs: {target.needs}.", ""]
        for number, step in enumerate(target.steps, 1):
            lines += [f"{number}. {step.text}", ""]
            if step.commands:
                lines += ["   ```sh", *(f"   {command}" for command in step.commands), "   ```", ""]
    return "\n".join(lines)


def _service(manifest: Manifest, file_name: str, key_id: str) -> tuple[Step, ...]:
    """With the command line of the service, which runs as its user."""
    onsight = "sudo /opt/onsight/bin/onsight"
    trust = Step(
        f"Trust the key that signed it, {key_id}; compare it with what its maker tells you.",
        (f"sudo install -m 0644 {KEY_FILE} /tmp/{KEY_FILE}", f"{onsight} trust add /tmp/{KEY_FILE} --name maker"),
    )
    serve = Step(
        "Make a token, and put the bundle where it is served within seconds.",
        (
            f"{onsight} token create my-app",
            f"sudo install -m 0640 -g onsight {file_name} /var/lib/onsight/models/",
        ),
    )
    carry = ("sudo install -m 0644 answer.lic /tmp/answer.lic",)
    return trust, *_license(manifest, onsight, "/tmp/", carry), serve  # noqa: S108 - on the target, readable for all


def _docker(manifest: Manifest, file_name: str, key_id: str) -> tuple[Step, ...]:
    prepare = Step(
        "Put the bundle into a folder of models, and make a volume for keys and tokens.",
        ("mkdir -p models", f"cp {file_name} models/", f"chmod 0644 models/{file_name} {KEY_FILE}",
         "docker volume create onsight",
         "alias onsight='docker run --rm -i -v onsight:/var/lib/onsight -v \"$PWD:/here:ro\" onsight:cpu'"),
    )  # fmt: skip
    trust = Step(
        f"Trust the key that signed it, {key_id}, and make a token.",
        (f"onsight trust add /here/{KEY_FILE} --name maker", "onsight token create my-app"),
    )
    run = Step(
        "Start it. With a GPU: --gpus all -e ONSIGHT_PROVIDERS=cuda, and the image onsight:gpu.",
        ("docker run -d --name onsight --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges"
         " -v onsight:/var/lib/onsight -v \"$PWD/models:/models:ro\" -p 127.0.0.1:8000:8000 --stop-timeout 35"
         " onsight:cpu",),
    )  # fmt: skip
    return prepare, trust, *_license(manifest, "onsight", "/here/"), run


def _license(manifest: Manifest, onsight: str, folder: str, carry: tuple[str, ...] = ()) -> tuple[Step, ...]:
    """folder: where the command line finds files.  carry: what brings the answer there."""
    if manifest.license is None:
        return ()
    return (
        Step(
            f"It serves under a licence of issuer {manifest.license.issuer}. Write a request on this machine, and send"
            " it to the issuer.",
            (f"{onsight} license request > request.txt",),
        ),
        Step(
            "The issuer makes a file of it, and sends that back.",
            (f"onsight license issue --for request.txt --licensee NAME --model {manifest.name} --out answer.lic",),
        ),
        Step("Install it on this machine.", (*carry, f"{onsight} license install {folder}answer.lic")),
    )
