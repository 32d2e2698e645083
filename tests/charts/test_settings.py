"""The settings that the chart gives the programs: they understand them, and every one can be reached."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from imagebatch.settings import DatabaseSettings, NetworkSettings, S3Settings, read, variable
from imagebatch_api.settings import ApiSettings, ServerSettings
from imagebatch_jobrunner.settings import JobrunnerSettings
from imagebatch_operator.settings import OperatorSettings
from imagebatch_testing.chart import NAMESPACE, VALUES_FILES, Helm, Manifests, values_of

from .conftest import QUICKSTART, Render, deployments, environment, every_values_file

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120, func_only=True)]

API_CLASSES = (ServerSettings, ApiSettings)
NOT_ON_KUBERNETES = {"IMAGEBATCH_S3_SESSION_TOKEN"}
"""Temporary keys would end while pods run; extraEnv has it for those who must."""

BY_THE_OPERATOR = {
    "IMAGEBATCH_REQUEST_ID",
    "IMAGEBATCH_ATTEMPT",
    "IMAGEBATCH_SHARDS",
    "IMAGEBATCH_RUN",
    "IMAGEBATCH_PARALLELISM",
    "IMAGEBATCH_COMPRESSION",
    "IMAGEBATCH_PLAN_KEY",
    "IMAGEBATCH_INPUT_KEY",
    "IMAGEBATCH_PLAN_URL",
    "IMAGEBATCH_INPUT_URL",
    "IMAGEBATCH_STOP_ON_STDIN_EOF",
    "IMAGEBATCH_TERMINATION_LOG",
    "JOB_COMPLETION_INDEX",
}
"""What is settled for a jobrunner pod, and no matter of an installation."""

SECRET_VALUES = {
    "DATABASE_URL": "postgresql://somebody:hush@postgres.example:5432/imagebatch",
    "IMAGEBATCH_WEBHOOK_SECRET": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=",
    "IMAGEBATCH_NAMESPACE": NAMESPACE,
}


def variables(*classes: type[BaseSettings]) -> set[str]:
    return {variable(one, field) for one in classes for field in one.model_fields}


def run_with(monkeypatch: pytest.MonkeyPatch, env: Mapping[str, Any]) -> None:
    """Put what a container would see into the environment of this process."""
    for name, value in env.items():
        monkeypatch.setenv(
            name, value if isinstance(value, str) else SECRET_VALUES.get(name, "from-the-secret")
        )


def own(env: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The environment without what the values file added by extraEnv."""
    extra = {"HTTPS_PROXY"} if name == "everything-on" else set()
    return {variable: value for variable, value in env.items() if variable not in extra}


@every_values_file
def test_the_api_understands_its_settings(
    rendered: Render, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = own(environment(rendered(name), deployments(rendered(name))[0]), name)
    assert env.keys() <= variables(*API_CLASSES)
    run_with(monkeypatch, env)
    assert read(ServerSettings).namespace == NAMESPACE
    assert {"localhost", "127.0.0.1", "[::1]"} < read(ApiSettings).host_names


@every_values_file
def test_the_operator_understands_its_settings(
    rendered: Render, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = own(environment(rendered(name), deployments(rendered(name))[1]), name)
    assert env.keys() <= variables(OperatorSettings)
    run_with(monkeypatch, env)
    settings = read(OperatorSettings)
    assert settings.address_policy
    assert settings.watched[0] == NAMESPACE
    assert settings.jobrunner_image


@every_values_file
def test_the_jobrunner_understands_its_settings(
    rendered: Render, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = json.loads(environment(rendered(name), deployments(rendered(name))[1])["IMAGEBATCH_JOBRUNNER_ENV"])
    extra = {"AWS_REGION", "IMAGEBATCH_SOMETHING_NEW"} if name == "everything-on" else set()
    assert env.keys() - extra <= variables(JobrunnerSettings) - BY_THE_OPERATOR
    settled = {"IMAGEBATCH_REQUEST_ID": "a", "JOB_COMPLETION_INDEX": "0", "IMAGEBATCH_S3_BUCKET": "shop"}
    run_with(monkeypatch, env | settled)
    assert read(JobrunnerSettings).log_level == env["IMAGEBATCH_LOG_LEVEL"]


def test_every_setting_of_the_programs_can_be_reached(rendered: Render) -> None:
    """A new setting must get into the chart: a value, its schema, everything-on.yaml."""
    api, operator, jobrunner = set[str](), set[str](), set[str]()
    for name in VALUES_FILES:
        made = rendered(name)
        for_api, for_operator = deployments(made)
        api |= environment(made, for_api).keys()
        operator |= environment(made, for_operator).keys()
        jobrunner |= json.loads(environment(made, for_operator)["IMAGEBATCH_JOBRUNNER_ENV"]).keys()
    shared = variables(S3Settings, NetworkSettings)
    assert variables(*API_CLASSES) - api == NOT_ON_KUBERNETES
    assert variables(OperatorSettings) - operator == NOT_ON_KUBERNETES
    assert variables(JobrunnerSettings) - jobrunner - shared == BY_THE_OPERATOR
    assert variables(DatabaseSettings) & jobrunner == set()


def test_numbers_stay_whole(rendered: Render) -> None:
    """Helm reads 5368709120 as a float and would print 5.36870912e+09."""
    made = rendered("everything-on")
    assert environment(made, "pictures-api")["IMAGEBATCH_MAX_UPLOAD_BYTES"] == "5368709120"
    assert environment(made, "pictures-api")["IMAGEBATCH_UPLOAD_IDLE_SECONDS"] == "30.5"
    assert environment(made, "pictures-operator")["IMAGEBATCH_MAX_SOURCE_BYTES"] == "2147483648"
    jobrunner = json.loads(environment(made, "pictures-operator")["IMAGEBATCH_JOBRUNNER_ENV"])
    assert jobrunner["IMAGEBATCH_BYTES_IN_FLIGHT"] == "536870912"
    assert jobrunner["IMAGEBATCH_SOMETHING_NEW"] == "1073741824"


def test_the_operator_is_told_how_jobrunner_pods_look(rendered: Render) -> None:
    pod = json.loads(environment(rendered("everything-on"), "pictures-operator")["IMAGEBATCH_JOBRUNNER_POD"])
    values = values_of(VALUES_FILES["everything-on"])["jobrunner"]
    placed = (
        "nodeSelector",
        "tolerations",
        "affinity",
        "topologySpreadConstraints",
        "priorityClassName",
        "runtimeClassName",
    )
    assert {field: pod[field] for field in placed} == {field: values[field] for field in placed}
    assert pod["labels"] == {"example.com/tier": "batch", "example.com/team": "shop"}
    assert pod["annotations"] == values["podAnnotations"]
    assert pod["imagePullSecrets"] == [{"name": "mirror"}, {"name": "own"}]
    assert set(pod["resources"]) == {"requests", "limits"}
    minimal = json.loads(environment(rendered("minimal"), "imagebatch-operator")["IMAGEBATCH_JOBRUNNER_POD"])
    assert minimal.keys() == {"resources"}


def test_tokens_are_read_from_their_secret_where_it_is_mounted(rendered: Render) -> None:
    made = rendered("everything-on")
    pod = made.one("Deployment", "pictures-api")["spec"]["template"]["spec"]
    (volume,) = (found for found in pod["volumes"] if found["name"] == "tokens")
    (mount,) = (found for found in pod["containers"][0]["volumeMounts"] if found["name"] == "tokens")
    assert volume["secret"]["secretName"] == "clients"
    assert "subPath" not in mount, "the kubelet would not replace it"
    file = environment(made, "pictures-api")["IMAGEBATCH_API_TOKENS_FILE"]
    assert file == f"{mount['mountPath']}/clients.txt"


@pytest.mark.parametrize("name", ["quickstart", "minimal"])
def test_only_the_quickstart_lets_everybody_in(rendered: Render, name: str) -> None:
    env = environment(rendered(name), "imagebatch-api")
    is_open = env.get("IMAGEBATCH_ALLOW_ANONYMOUS") == "true"
    assert (is_open, "IMAGEBATCH_API_TOKENS_FILE" in env) == (name == "quickstart", name == "minimal")


def test_no_setting_says_which_s3_keys_when_the_cloud_gives_an_identity(rendered: Render) -> None:
    made = rendered("cloud-identity")
    env = environment(made, "imagebatch-operator")
    assert "IMAGEBATCH_S3_ACCESS_KEY" not in env
    assert env["IMAGEBATCH_JOBRUNNER_S3_SECRET"] == ""
    for part in ("api", "operator", "jobrunner"):
        account = made.one("ServiceAccount", f"imagebatch-{part}")
        assert "eks.amazonaws.com/role-arn" in account["metadata"]["annotations"]


def test_jobrunners_may_have_a_narrower_key(helm: Helm, rendered: Render) -> None:
    def secret_of(made: Manifests) -> Any:
        return environment(made, "imagebatch-operator")["IMAGEBATCH_JOBRUNNER_S3_SECRET"]

    assert secret_of(rendered("external")) == "shop-s3-jobrunner"
    assert secret_of(rendered("minimal")) == "imagebatch-s3"
    assert secret_of(helm.render(QUICKSTART)) == "imagebatch-s3-jobrunner"


def test_the_api_answers_to_its_names(rendered: Render) -> None:
    made = rendered("everything-on")
    assert environment(made, "pictures-api")["IMAGEBATCH_ALLOWED_HOSTS"].split(",") == [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "pictures-api",
        "pictures-api.shop",
        "pictures-api.shop.svc",
        "pictures-api.shop.svc.cluster.example",
        "pictures.example",
        "images.example",
        "pictures.internal",
    ]


def test_links_of_the_quickstart_lead_out_of_the_cluster(helm: Helm) -> None:
    env = environment(helm.render(QUICKSTART), "imagebatch-api")
    assert env["IMAGEBATCH_S3_PUBLIC_URL"] == "http://localhost:9000/imagebatch"
    assert env["IMAGEBATCH_S3_ENDPOINT"] == "http://imagebatch-s3.shop.svc:8333"
    assert env["IMAGEBATCH_S3_CREATE_BUCKET"] == "true"


def test_a_bucket_of_ones_own_is_not_created(rendered: Render) -> None:
    assert environment(rendered("minimal"), "imagebatch-api")["IMAGEBATCH_S3_CREATE_BUCKET"] == "false"
