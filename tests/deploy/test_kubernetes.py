"""The Kubernetes manifests, read as data: what they name exists, and their parts agree."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types; used to read manifests

from pullback_server.config import ServerConfig

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
CLUSTER: dict[str, Any] = yaml.safe_load((FOLDER / "raycluster.yaml").read_text("utf-8"))
SERVICE, POLICY = yaml.safe_load_all((FOLDER / "service.yaml").read_text("utf-8"))
SPEC = CLUSTER["spec"]
GROUPS: dict[str, Any] = {group["groupName"]: group for group in SPEC["workerGroupSpecs"]}
PODS = [SPEC["headGroupSpec"]["template"]["spec"]]
PODS += [group["template"]["spec"] for group in GROUPS.values()]
FRONT_END = GROUPS["front-end"]["template"]
RAY, SERVER = FRONT_END["spec"]["containers"]


def test_ray_has_the_version_that_the_image_holds():
    """A cluster of two versions of Ray does not come up."""
    (locked,) = re.findall(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), flags=re.M)
    assert SPEC["rayVersion"] == locked


def test_every_container_runs_the_image_of_the_project():
    """Workers unpickle what the server sends: one image, one version."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert {c["image"] for pod in PODS for c in pod["containers"]} == {f"pullback:{version}"}


def test_the_servers_flags_exist_and_lead_to_the_head():
    """Its arguments are flags of `pullback serve`; the address is the service KubeRay makes."""
    flags = [word for word in SERVER["args"] if word.startswith("--")]
    assert all(hasattr(ServerConfig(), flag[2:].replace("-", "_")) for flag in flags)
    address = SERVER["args"][SERVER["args"].index("--ray-address") + 1]
    head = PODS[0]["containers"][0]
    assert address == f"{CLUSTER['metadata']['name']}-head-svc:{head['ports'][0]['containerPort']}"


def test_the_pool_follows_the_work_as_far_as_there_may_be_pods():
    """A worker a core: the autoscaler adds pods only for workers that the server asks for."""
    flags = dict(itertools.pairwise(SERVER["args"]))
    group = GROUPS["cpu"]
    cores = int(group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    assert int(flags["--workers"]) == group["minReplicas"] * cores
    assert int(flags["--max-workers"]) == group["maxReplicas"] * cores


def test_ports_lead_from_the_service_to_the_server():
    """The service's ports are the server's defaults, by the names of the container's."""
    ports = {port["name"]: port["containerPort"] for port in SERVER["ports"]}
    assert ports == {"grpc": ServerConfig().port, "http": ServerConfig().http_port}
    assert {p["targetPort"]: p["port"] for p in SERVICE["spec"]["ports"]} == ports
    assert {port["port"] for port in POLICY["spec"]["ingress"][0]["ports"]} == set(ports)
    labels = FRONT_END["metadata"]["labels"]
    assert SERVICE["spec"]["selector"] == labels
    assert POLICY["spec"]["podSelector"]["matchLabels"] == labels


def test_the_server_finds_the_node_beside_it():
    """Ray looks for its node among the processes, below /tmp/ray and in shared memory."""
    assert FRONT_END["spec"]["shareProcessNamespace"] is True
    assert RAY["volumeMounts"] == SERVER["volumeMounts"]
    assert {m["mountPath"] for m in SERVER["volumeMounts"]} == {"/tmp/ray", "/dev/shm"}


def test_the_server_has_the_clusters_token():
    """The operator gives it to Ray's containers alone."""
    assert SPEC["authOptions"] == {"mode": "token"}
    (mode, token) = SERVER["env"]
    assert mode == {"name": "RAY_AUTH_MODE", "value": "token"}
    reference = token["valueFrom"]["secretKeyRef"]
    assert reference == {"name": CLUSTER["metadata"]["name"], "key": "auth_token"}


@pytest.mark.parametrize("pod", PODS)
def test_mounts_have_volumes(pod):
    """Every mount names a volume of its pod."""
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    mounts = {m["name"] for c in pod["containers"] for m in c.get("volumeMounts", [])}
    assert mounts == volumes


def test_only_groups_that_compute_have_processors():
    """Neither the head nor the server's node is given a task."""
    idle = [SPEC["headGroupSpec"], GROUPS["front-end"]]
    assert [group["rayStartParams"]["num-cpus"] for group in idle] == ["0", "0"]
    assert all("num-cpus" not in GROUPS[name]["rayStartParams"] for name in ("cpu", "gpu"))
    assert GROUPS["gpu"]["minReplicas"] == 0


def test_the_operator_asks_nothing_that_the_image_cannot_answer():
    """Where a Ray container has no probes, KubeRay asks the dashboard, which is not installed."""
    specs = [SPEC["headGroupSpec"], *SPEC["workerGroupSpecs"]]
    for spec in specs:
        container = spec["template"]["spec"]["containers"][0]
        port = container["readinessProbe"]["tcpSocket"]["port"]
        assert container["livenessProbe"]["tcpSocket"] == {"port": port}
        named = {item["name"]: item["containerPort"] for item in container.get("ports", ())}
        answering = spec["rayStartParams"]["node-manager-port"]
        assert named.get(port) == 6379 or str(port) == answering


def test_a_server_that_ended_is_started_again():
    """Ray's second autoscaler, its default, has KubeRay make pods that never restart containers."""
    assert SPEC["autoscalerOptions"]["version"] == "v1"
    assert "restartPolicy" not in FRONT_END["spec"]
