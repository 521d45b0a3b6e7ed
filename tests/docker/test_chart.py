"""The Helm chart: rendered by Helm's engine, checked against Kubernetes' schemas, and one pod's parts run for real."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from color_bundle import RED
from rendered_chart import CHART, Manifest, Refused, lint, notes, render
from running_server import ROOT, Install, running

from bundle.home import OnsightHome
from onsight.configuration import render_configuration
from server.settings import ServerSettings

OLDEST, NEWEST = "1.27", kubernetes_validate.latest_version()
CRD = {"ServiceMonitor"}  # no part of Kubernetes
VALUES: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "everything on": {
        "image": {"repository": "mirror.example/onsight", "tag": "0.1.0", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "trust": {"secret": "makers"},
        "models": {"claim": "models", "subPath": "vision"},
        "settings": {"ONSIGHT_WORKERS": 4, "ONSIGHT_LOG_LEVEL": "warning", "ONSIGHT_KEEP_LAST_GOOD": False},
        "ingress": {"enabled": True, "className": "nginx", "host": "vision.example", "tlsSecret": "vision-tls",
                    "annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "128m"}},
        "networkPolicy": {"enabled": True, "from": [{"namespaceSelector": {"matchLabels": {"team": "shop"}}}]},
        "metrics": {"serviceMonitor": True, "tokenSecret": "scrape", "labels": {"release": "prometheus"}},
        "service": {"type": "LoadBalancer", "port": 8080, "annotations": {"a": "b"}},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {}},
        "podAnnotations": {"team": "shop"},
        "podLabels": {"team": "shop"},
        "priorityClassName": "high",
        "runtimeClassName": "gvisor",
    },
    "on GPUs": {"gpu": {"count": 1}, "models": {"hostPath": "/srv/models"}},
    "alone": {
        "models": {"image": "models:3"}, "replicas": 1, "autoscaling": {"enabled": False},
        "disruptionBudget": {"enabled": False}, "networkPolicy": {"enabled": False}, "spreadOverNodes": False,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def plain() -> dict[str, Manifest]:
    return render()


def pod_of(manifests: dict[str, Manifest]) -> Manifest:
    pod: Manifest = manifests["Deployment"]["spec"]["template"]["spec"]
    return pod


def server_of(manifests: dict[str, Manifest]) -> Manifest:
    container: Manifest = pod_of(manifests)["containers"][0]
    return container


def environment_of(manifests: dict[str, Manifest]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in server_of(manifests)["env"]}


@pytest.mark.parametrize("name", VALUES)
def test_every_manifest_is_one_that_kubernetes_accepts(name: str) -> None:
    manifests = render(**VALUES[name])
    for kind, manifest in manifests.items():
        for version in (OLDEST, NEWEST) if kind not in CRD else ():
            kubernetes_validate.validate(manifest, version, strict=True)
    assert lint(**VALUES[name]) == []


def test_the_check_against_kubernetes_schemas_can_fail(plain: dict[str, Manifest]) -> None:
    wrong = yaml.safe_load(yaml.safe_dump(plain["Deployment"]))
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, NEWEST, strict=True)


def test_the_kinds_follow_the_values(plain: dict[str, Manifest]) -> None:
    usual = {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"}
    assert set(plain) == usual
    assert set(render(**VALUES["everything on"])) == usual | {"Ingress", "ServiceMonitor"}
    assert set(render(**VALUES["alone"])) == {"Deployment", "Service"}


def test_no_container_has_rights_or_a_root_that_it_could_write_to() -> None:
    pod = pod_of(render(**VALUES["alone"]))  # with both containers that come before
    security = pod["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 10001)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False, "a release named onsight would get ONSIGHT_PORT=tcp://..."
    assert len(pod["initContainers"]) == 2
    for container in [*pod["initContainers"], *pod["containers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert set(container["resources"]) == {"requests", "limits"}


def test_nothing_leaves_a_pod(plain: dict[str, Manifest]) -> None:
    policy = plain["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    assert policy["podSelector"]["matchLabels"] == plain["Deployment"]["spec"]["selector"]["matchLabels"]


def test_the_time_to_end_covers_drain_and_running_requests() -> None:
    for drain, graceful in ((10, 25), (300, 600)):
        manifests = render(drainSeconds=drain, gracefulSeconds=graceful)
        told = environment_of(manifests)
        assert (told["ONSIGHT_DRAIN_S"], told["ONSIGHT_GRACEFUL_TIMEOUT_S"]) == (str(drain), str(graceful))
        assert pod_of(manifests)["terminationGracePeriodSeconds"] > drain + graceful


def test_readiness_is_noticed_within_the_drain_and_a_model_that_fails_restarts_nobody(
    plain: dict[str, Manifest],
) -> None:
    server = server_of(plain)
    ready = server["readinessProbe"]
    assert ready["httpGet"] == {"path": "/health/ready", "port": "http"}
    assert ready["periodSeconds"] * ready["failureThreshold"] < float(environment_of(plain)["ONSIGHT_DRAIN_S"])
    for probe in ("startupProbe", "livenessProbe"):
        assert server[probe]["httpGet"]["path"] == "/health/live"
    start = render(probes={"startupSeconds": 7})
    probe = server_of(start)["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 7


def test_it_grows_with_the_queue_and_with_the_cpu(plain: dict[str, Manifest]) -> None:
    scaler = plain["HorizontalPodAutoscaler"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == plain["Deployment"]["metadata"]["name"]
    assert "replicas" not in plain["Deployment"]["spec"], "an upgrade would undo what the autoscaler did"
    queue, cpu = scaler["metrics"]
    assert queue["pods"]["metric"]["name"] == "nv_inference_pending_request_count"
    assert cpu["resource"]["name"] == "cpu"
    (alone,) = render(autoscaling={"pendingPerPod": 0})["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert alone["type"] == "Resource"
    assert render(**VALUES["alone"])["Deployment"]["spec"]["replicas"] == 1


def test_the_metric_it_grows_with_is_one_that_the_server_has() -> None:
    name = yaml.safe_load((CHART / "values.yaml").read_text())["autoscaling"]["pendingMetric"]
    assert f'"{name}"' in (ROOT / "server/metrics.py").read_text()


def test_a_gpu_brings_its_image_its_device_and_its_provider(plain: dict[str, Manifest]) -> None:
    assert server_of(plain)["image"] == "onsight:cpu"
    assert "ONSIGHT_PROVIDERS" not in environment_of(plain)
    gpu = render(**VALUES["on GPUs"])
    server = server_of(gpu)
    assert server["image"] == "onsight:gpu"
    assert server["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert environment_of(gpu)["ONSIGHT_PROVIDERS"] == "cuda"
    assert gpu["Deployment"]["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_models_come_from_a_claim_a_folder_or_an_image_and_are_read_only() -> None:
    volumes = {}
    for where in ({"claim": "c"}, {"hostPath": "/srv"}, {"image": "bundles:1", "imagePath": "/b/"}):
        manifests = render(models=where)
        mount = next(m for m in server_of(manifests)["volumeMounts"] if m["mountPath"] == "/models")
        assert mount["readOnly"] is True
        volumes.update(next(v for v in pod_of(manifests)["volumes"] if v["name"] == "models"))
    assert volumes["persistentVolumeClaim"] == {"claimName": "c", "readOnly": True}
    assert volumes["hostPath"] == {"path": "/srv", "type": "Directory"}
    assert pod_of(manifests)["initContainers"][1]["command"] == ["cp", "-R", "/b/.", "/target/"]


def test_strangers_reach_predictions_and_health_alone() -> None:
    (rule,) = render(**VALUES["everything on"])["Ingress"]["spec"]["rules"]
    assert [path["path"] for path in rule["http"]["paths"]] == ["/api", "/v1", "/v2", "/health"]


def test_prometheus_presents_a_token(plain: dict[str, Manifest]) -> None:
    monitor = render(**VALUES["everything on"])["ServiceMonitor"]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["authorization"] == {"type": "Bearer", "credentials": {"name": "scrape", "key": "token"}}
    assert endpoint["path"] == "/metrics"
    labels = plain["Service"]["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert endpoint["port"] == plain["Service"]["spec"]["ports"][0]["name"]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"models": {}}, "models: expected exactly one of claim, hostPath and image, found 0"),
        ({"models": {"claim": "a", "image": "b"}}, "expected exactly one of claim, hostPath and image, found 2"),
        ({"tokens": {}}, "tokens.secret: expected the name of a Secret"),
        ({"trust": {}}, "trust: expected a configMap or a secret"),
        ({"trust": {"configMap": "a", "secret": "b"}}, "found both or neither"),
        ({"metrics": {"serviceMonitor": True}}, "metrics.tokenSecret: expected"),
        ({"ingress": {"enabled": True}}, "ingress.host: expected"),
        ({"autoscaling": {"pendingPerPod": 0, "cpuPercent": 0}}, "expected pendingPerPod or cpuPercent above 0"),
        ({"drainSeconds": -1}, "drainSeconds"),
        ({"replica": 3}, "replica"),
        ({"settings": {"WORKERS": "4"}}, "WORKERS"),
        ({"settings": {"ONSIGHT_PORT": "80"}}, "ONSIGHT_PORT"),
        ({"gpu": {"count": 1, "provider": "rocm"}}, "provider"),
        ({"models": {"hostPath": "models"}}, "hostPath"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_that_cannot_work_are_refused_with_a_reason(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(Refused) as refused:
        render(**values)
    assert complaint in str(refused.value)


def test_a_number_in_the_values_reaches_the_server_digit_by_digit() -> None:
    settings = {"ONSIGHT_MAX_REQUEST_BYTES": 268435456, "ONSIGHT_REQUEST_TIMEOUT_S": 2.5, "ONSIGHT_WORKERS": "4"}
    container = pod_of(render(settings=settings))["containers"][0]
    env = {each["name"]: each["value"] for each in container["env"]}
    assert {name: env[name] for name in settings} == {name: str(value) for name, value in settings.items()}


def test_settings_that_the_chart_sets_itself_are_settings_of_the_server(plain: dict[str, Manifest]) -> None:
    known = {f"ONSIGHT_{name.upper()}" for name in ServerSettings.model_fields}
    for values in VALUES.values():
        assert set(environment_of(render(**values))) <= known
    assert "ONSIGHT_DRAIN_S" in render_configuration()


def test_the_notes_say_how_to_ask_the_first_question() -> None:
    text = notes()
    assert "kubectl -n vision rollout status deployment/demo-onsight" in text
    assert "nv_inference_pending_request_count" in text


def test_tokens_and_keys_in_volumes_count_and_their_changes_are_seen(
    new_install: Callable[[], Install], plain: dict[str, Manifest], tmp_path: Path
) -> None:
    """The first container's own script, over volumes as the kubelet lays them out: links, and a folder swapped."""
    maker = new_install()
    first = maker.add_token("first")
    mounted, home = tmp_path / "etc", tmp_path / "home"
    home.mkdir()
    _mount(mounted / "tokens", 1, {"tokens.json": maker.home.tokens_path.read_bytes()})
    _mount(mounted / "trust", 1, {"maker.pem": next(maker.home.trust_dir.glob("*.pem")).read_bytes()})
    script = pod_of(plain)["initContainers"][0]["command"][2]
    for _ in range(2):  # again after a restart in the same pod
        moved = script.replace("/var/lib/onsight", str(home)).replace("/etc/onsight", str(mounted))
        subprocess.run([sys.executable, "-c", moved], check=True)
    pod = Install(OnsightHome(home), maker.models, maker.key)
    with running(pod, tmp_path, host="0.0.0.0") as server:
        server.wait_for_status(200)
        assert server.ask("POST", "/api/predict/default/colours", RED, first).status == 200
        second = maker.add_token("second")
        maker.tokens.revoke("first")
        assert server.ask("POST", "/api/predict/default/colours", RED, second).status == 401
        _mount(mounted / "tokens", 2, {"tokens.json": maker.home.tokens_path.read_bytes()})
        assert server.ask("POST", "/api/predict/default/colours", RED, second).status == 200
        assert server.ask("POST", "/api/predict/default/colours", RED, first).status == 401


def _mount(folder: Path, version: int, files: dict[str, bytes]) -> None:
    """As the kubelet writes a Secret: a folder for each version, `..data` as a link to it, and links into that."""
    data = folder / f"..{version}"
    data.mkdir(parents=True)
    for name, content in files.items():
        (data / name).write_bytes(content)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..new").symlink_to(data.name)
    (folder / "..new").rename(folder / "..data")
