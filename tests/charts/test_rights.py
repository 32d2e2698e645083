"""What the programs may do on the cluster: exactly what they need, where they need it."""

import pytest

from imagebatch_testing.chart import NAMESPACE, Helm, Json

from .conftest import MINIMAL, QUICKSTART, Render, deployments, environment, every_values_file

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120, func_only=True)]

API_RULES = [(("imagebatch.dev", "imagebatches"), {"create", "get", "patch", "delete"})]
OPERATOR_RULES = [
    (("imagebatch.dev", "imagebatches"), {"get", "list", "watch", "patch", "delete"}),
    (("imagebatch.dev", "imagebatches/status"), {"patch"}),
    (("imagebatch.dev", "imagebatches/finalizers"), {"update"}),
    (("batch", "jobs"), {"get", "list", "watch", "create", "patch", "delete"}),
    (("", "pods"), {"get", "list", "watch", "delete"}),
    (("", "events"), {"create", "list"}),
    (("", "configmaps"), {"get"}),
]
SECRETS = (("", "secrets"), {"get"})


def rules_of(role: Json) -> list[tuple[tuple[str, str], set[str]]]:
    found = []
    for rule in role["rules"]:
        (group,), (resource,) = rule["apiGroups"], rule["resources"]
        found.append(((group, resource), set(rule["verbs"])))
    return found


@every_values_file
def test_rights_are_exactly_these(rendered: Render, name: str) -> None:
    made = rendered(name)
    kinds = {found["kind"] for found in made.objects}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding"}
    for role in made.all("Role"):
        if role["metadata"]["name"].endswith("-api"):
            assert rules_of(role) == API_RULES
            assert role["metadata"]["namespace"] == NAMESPACE
        else:
            assert [rule for rule in rules_of(role) if rule != SECRETS] == OPERATOR_RULES


@every_values_file
def test_rights_go_to_the_api_and_the_operator_alone(rendered: Render, name: str) -> None:
    made = rendered(name)
    api, operator = (
        made.one("Deployment", deployment)["spec"]["template"]["spec"]["serviceAccountName"]
        for deployment in deployments(made)
    )
    for binding in made.all("RoleBinding"):
        (subject,) = binding["subjects"]
        assert subject["namespace"] == NAMESPACE
        wanted = api if binding["roleRef"]["name"].endswith("-api") else operator
        assert subject["name"] == wanted
        assert made.one("Role", binding["roleRef"]["name"], binding["metadata"]["namespace"])


@pytest.mark.parametrize(
    ("names", "wanted"),
    [(None, [{}]), ([], []), (["a", "b"], [{"resourceNames": ["a", "b"]}])],
    ids=["any Secret", "none", "these only"],
)
def test_secrets_that_sign_webhooks_can_be_limited(helm: Helm, names: object, wanted: list[Json]) -> None:
    made = helm.render(values=MINIMAL | {"rbac.webhookSecretNames": names})
    rules = made.one("Role", "imagebatch-operator")["rules"]
    rest = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    assert [rule for rule in rules if rule["resources"] == ["secrets"]] == [rest | limit for limit in wanted]


def test_rights_and_accounts_can_be_left_to_others(helm: Helm) -> None:
    off = {f"{part}.serviceAccount.create": False for part in ("api", "operator", "jobrunner")}
    made = helm.render(values=MINIMAL | off | {"rbac.create": False})
    kinds = {found["kind"] for found in made.objects}
    assert not kinds & {"Role", "RoleBinding", "ServiceAccount"}
    assert environment(made, "imagebatch-operator")["IMAGEBATCH_JOBRUNNER_SERVICE_ACCOUNT"] == "default"


def test_each_watched_namespace_gets_what_its_batches_need(helm: Helm, rendered: Render) -> None:
    made = rendered("watch-namespaces")
    watched = [NAMESPACE, "team-a", "team-b"]
    assert environment(made, "imagebatch-operator")["IMAGEBATCH_NAMESPACES"] == ",".join(watched)
    for namespace in watched:
        assert made.one("Role", "imagebatch-operator", namespace)
        assert made.one("RoleBinding", "imagebatch-operator", namespace)
        assert made.one("ServiceAccount", "imagebatch-jobrunner", namespace)
        assert made.one("NetworkPolicy", "imagebatch-jobrunner", namespace)
    assert not made.all("Secret")
    quickstart = helm.render(QUICKSTART, values={"watchNamespaces": ["team-a"]})
    for namespace in (NAMESPACE, "team-a"):
        secret = quickstart.one("Secret", "imagebatch-s3-jobrunner", namespace)
        assert secret["stringData"] == {
            "accessKey": "jobrunner",
            "secretKey": "trial-password-of-jobrunners",
        }


def test_without_namespaces_only_the_own_one_is_watched(rendered: Render) -> None:
    made = rendered("minimal")
    assert environment(made, "imagebatch-operator")["IMAGEBATCH_NAMESPACES"] == NAMESPACE
    assert {found["metadata"]["namespace"] for found in made.all("Role")} == {NAMESPACE}
