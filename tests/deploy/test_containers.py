"""The Dockerfile and the compose file, read as data: no engine runs in the tests."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types; used to read two files

from deploy import metrics_reference
from pullback_server.config import ServerConfig
from pullback_server.metrics import DEFAULT_PORT

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def _instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} +(.*)$", DOCKERFILE, flags=re.M)


def _copied() -> set[str]:
    """Paths that the build stage takes from the repository."""
    lines = [line.split() for line in _instructions("COPY") if not line.startswith("--from")]
    return {path.rstrip("/") for *sources, _ in lines for path in sources}


def test_the_image_holds_what_a_wheel_needs():
    """Every package and every file the build reads is copied, exists, and is not ignored."""
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {package.split("/")[0] for package in wheel} | {"pyproject.toml", "constraints.txt"}
    needed |= {PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]}
    assert _copied() == needed
    assert all((ROOT / path).exists() for path in needed)
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert {line[1:].rstrip("/") for line in ignore if line.startswith("!")} == needed
    assert "*" in ignore


def test_the_image_installs_locked_versions_of_an_extra_there_is():
    """Dependencies come from constraints.txt; the extra is one of pyproject.toml's."""
    (install,) = [line for line in _instructions("RUN") if "pip install" in line]
    assert "-c constraints.txt" in install
    (extras,) = re.findall(r"^ARG EXTRAS=(\S+)$", DOCKERFILE, flags=re.M)
    assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"])


def test_the_server_does_not_run_as_root():
    """The last user named is not root, and its home is its own."""
    assert _instructions("USER")[-1] == "10001:10001"
    assert any("useradd --uid 10001" in line for line in _instructions("RUN"))


def test_the_image_runs_the_command_there_is():
    """The entry point is the installed script with a command and flags that exist."""
    entry = json.loads(_instructions("ENTRYPOINT")[0])
    assert entry[0] in PROJECT["project"]["scripts"]
    assert entry[1] in PROJECT["project"]["entry-points"]["pullback.commands"]
    flags = [word for word in entry if word.startswith("--")]
    assert all(hasattr(ServerConfig(), flag[2:].replace("-", "_")) for flag in flags)


def test_ports_agree_everywhere():
    """The image, its health check, compose and Prometheus speak of the server's default ports."""
    ports = [ServerConfig().port, ServerConfig().http_port]
    assert ports[1] == DEFAULT_PORT
    assert _instructions("EXPOSE") == [" ".join(map(str, ports))]
    assert f":{ports[1]}/healthz" in _instructions("HEALTHCHECK")[0]
    server = COMPOSE["services"]["server"]
    assert server["ports"] == [f"127.0.0.1:{port}:{port}" for port in ports]
    config = (DEPLOY / "prometheus" / "prometheus.yml").read_text("utf-8")
    assert f'"server:{ports[1]}"' in config


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_services_are_pinned_and_local(name):
    """Each service has an exact version and is reached from this machine only."""
    service = COMPOSE["services"][name]
    assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_the_image_has_the_version_of_the_project():
    """What compose builds is named as what it holds."""
    assert COMPOSE["services"]["server"]["image"] == f"pullback:{PROJECT['project']['version']}"


def test_mounted_files_exist_and_volumes_are_declared():
    """Every path mounted is in the repository, every other volume is declared."""
    for service in COMPOSE["services"].values():
        for source, *_ in (volume.split(":") for volume in service.get("volumes", [])):
            known = (DEPLOY / source).exists() if source.startswith(".") else True
            assert known, source
            assert source.startswith(".") or source in COMPOSE["volumes"]


def test_ray_has_shared_memory_and_an_init():
    """Ray's object store needs more than a container's 64 MB, its children a reaper."""
    server = COMPOSE["services"]["server"]
    assert server["shm_size"] == "2gb"
    assert server["init"] is True


def test_grafana_finds_what_compose_mounts():
    """The data source, the dashboard's folder and the home page are paths in the container."""
    grafana = COMPOSE["services"]["grafana"]
    mounts = dict(volume.split(":")[:2][::-1] for volume in grafana["volumes"])
    folder = DEPLOY / "grafana" / "provisioning"
    provider = yaml.safe_load((folder / "dashboards" / "pullback.yaml").read_text("utf-8"))
    path = provider["providers"][0]["options"]["path"]
    assert (DEPLOY / mounts[path] / "pullback.json").is_file()
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{path}/pullback.json"
    source = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text("utf-8"))
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    assert (DEPLOY / mounts["/etc/grafana/provisioning"]).is_dir()


def test_the_reference_of_metrics_is_what_the_table_makes():
    """METRICS.md has not drifted."""
    assert metrics_reference.main(["--check"]) == 0


def test_drift_of_the_reference_is_noticed(tmp_path):
    """The check fails on a missing and on a changed file, and passes on what it wrote."""
    path = tmp_path / "METRICS.md"
    assert metrics_reference.main(["--check", "--out", str(path)]) == 1
    assert metrics_reference.main(["--out", str(path)]) == 0
    assert metrics_reference.main(["--check", "--out", str(path)]) == 0
    path.write_text(path.read_text() + "\n")
    assert metrics_reference.main(["--check", "--out", str(path)]) == 1
