"""`kind create cluster --config kind-config.yaml` and `skaffold run`: as far as they go without Docker.

kind is the real program; in place of docker it finds a script that notes its words and gives up at `docker
run`. Skaffold is in no package registry that Go installs from, so its file is read here, and what it would
set is given to helm. (It was tried once by hand: skaffold diagnose, render.)
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from imagebatch_testing.chart import CHART, ROOT, Helm, Json, load

from .conftest import QUICKSTART, environment

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120, func_only=True)]

KIND_CONFIG = ROOT / "kind-config.yaml"
DOCKER = """#!/bin/sh
echo "$@" >>"$(dirname "$0")/words"
case "$1" in
info) echo '{"CgroupVersion": "2", "MemoryLimit": true, "PidsLimit": true, "CPUShares": true, "SecurityOptions": []}' ;;
run) exit 1 ;;
esac
"""


def create_cluster(kind: Path, config: Path, folder: Path) -> tuple[str, str]:
    """What kind says, and the words with which it called docker run."""
    docker = folder / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    env = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HOME": str(folder),
        "KUBECONFIG": str(folder / "kubeconfig"),
        "KIND_EXPERIMENTAL_PROVIDER": "docker",
    }
    command = [str(kind), "create", "cluster", "--retain", "--config", str(config)]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    words = folder / "words"
    calls = words.read_text().splitlines() if words.exists() else []
    return ended.stderr, next((call for call in calls if call.startswith("run ")), "")


def test_kind_publishes_the_ports_of_the_quickstart(kind: Path, helm: Helm, tmp_path: Path) -> None:
    _, call = create_cluster(kind, KIND_CONFIG, tmp_path)
    published = re.findall(r"--publish=127\.0\.0\.1:(\d+):(\d+)/TCP", call)
    made = helm.render(QUICKSTART)
    services = {found["metadata"]["name"]: found["spec"] for found in made.all("Service")}
    assert services["imagebatch-api"]["type"] == services["imagebatch-s3"]["type"] == "NodePort"
    assert (
        dict(published).items()
        >= {
            "8080": str(services["imagebatch-api"]["ports"][0]["nodePort"]),
            "9000": str(services["imagebatch-s3"]["ports"][0]["nodePort"]),
        }.items()
    )
    env = environment(made, "imagebatch-api")
    assert env["IMAGEBATCH_PUBLIC_URL"] == "http://localhost:8080"
    assert env["IMAGEBATCH_S3_PUBLIC_URL"].startswith("http://localhost:9000/")
    assert "--name imagebatch-control-plane" in call


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("extraPortMappings", "extraPortMapings"), "field extraPortMapings not found"),
        (("hostPort: 8080", "hostPort: 80800"), "invalid port number: 80800"),
    ],
    ids=["misspelt", "no port"],
)
def test_kind_would_find_a_mistake(kind: Path, tmp_path: Path, change: tuple[str, str], says: str) -> None:
    wrong = tmp_path / "kind-config.yaml"
    wrong.write_text(KIND_CONFIG.read_text().replace(*change))
    said, call = create_cluster(kind, wrong, tmp_path)
    assert says.lower() in said.lower()
    assert not call


def skaffold() -> Json:
    (document,) = load((ROOT / "skaffold.yaml").read_text())
    return document


def test_skaffold_builds_the_three_images_from_their_dockerfiles() -> None:
    assert skaffold()["apiVersion"].startswith("skaffold/v4beta")
    artifacts = {found["image"]: found for found in skaffold()["build"]["artifacts"]}
    assert artifacts.keys() == {"imagebatch-api", "imagebatch-operator", "imagebatch-jobrunner"}
    for name, artifact in artifacts.items():
        dockerfile = artifact["docker"]["dockerfile"]
        assert dockerfile == f"{name.removeprefix('imagebatch-')}/Dockerfile"
        assert (ROOT / artifact["context"] / dockerfile).is_file()


def test_skaffold_installs_the_images_that_it_built(helm: Helm) -> None:
    (release,) = skaffold()["deploy"]["helm"]["releases"]
    assert ROOT / release["chartPath"] == CHART
    files = [ROOT / file for file in release["valuesFiles"]]
    assert files == [QUICKSTART]
    values = {path: built(template) for path, template in release["setValueTemplates"].items()}
    made = helm.render(*files, values=values, namespace=release["namespace"])
    images = {
        container["image"]
        for workload in made.workloads
        for container in workload["spec"]["template"]["spec"]["containers"]
    }
    assert images >= {"imagebatch-api:built", "imagebatch-operator:built"}
    assert 'value: "imagebatch-jobrunner:built"\n' in made.text


def built(template: str) -> str:
    """What skaffold puts in place of its variables, which it names after the images."""
    names = {
        f"{found['image'].replace('-', '_')}": found["image"] for found in skaffold()["build"]["artifacts"]
    }
    what, name = re.fullmatch(r"\{\{\.IMAGE_(REPO|TAG)_(\w+)\}\}", template).groups()  # type: ignore[union-attr]
    return names[name] if what == "REPO" else "built"


def test_skaffold_touches_no_other_cluster() -> None:
    (config,) = load(KIND_CONFIG.read_text())
    assert skaffold()["deploy"]["kubeContext"] == f"kind-{config['name']}"
