"""The NetworkPolicies, read as Kubernetes reads them: who reaches whom, and that nobody reaches the cluster."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest

from imagebatch.errors import AddressForbiddenError
from imagebatch.net import guard
from imagebatch.net.guard import AddressPolicy
from imagebatch_testing.chart import CHART, Helm, Json, load

from .conftest import MINIMAL, QUICKSTART, Render, every_values_file

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120, func_only=True)]

Network = IPv4Network | IPv6Network
Blocks = dict[str, list[str]]


def opens(policy: Json, address: str, port: int, protocol: str = "TCP") -> bool:
    """Whether a pod of the policy may call an address outside of the cluster, or by its address inside."""
    return any(
        covers_port(rule, port, protocol) and covers_address(rule, address)
        for rule in policy["spec"]["egress"]
    )


def covers_port(rule: Json, port: int, protocol: str) -> bool:
    return any(found["protocol"] == protocol and found.get("port", port) == port for found in rule["ports"])


def covers_address(rule: Json, address: str) -> bool:
    peers = rule.get("to")
    return not peers or any("ipBlock" in peer and in_block(peer["ipBlock"], address) for peer in peers)


def in_block(block: Json, address: str) -> bool:
    found = ip_address(address)
    return found in ip_network(block["cidr"]) and not any(
        found in ip_network(closed) for closed in block.get("except", [])
    )


CLOSED = [
    "10.0.0.1",
    "10.43.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.1.1",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::a00:1",
    "2001::1",
    "2002:7f00:1::",
    "fd00:ec2::254",
    "fe80::1",
    "ff02::1",
]
PUBLIC = ["1.1.1.1", "100.63.255.255", "172.32.0.1", "193.99.144.80", "2606:4700::1111", "64:ff9b::101:101"]


@every_values_file
@pytest.mark.parametrize("port", [80, 443, 6443, 8080, 9200])
def test_jobrunners_never_reach_the_cluster_or_metadata(rendered: Render, name: str, port: int) -> None:
    (policy, *_) = jobrunner_policies(rendered(name).all("NetworkPolicy"))
    assert [address for address in CLOSED if opens(policy, address, port)] == []


@pytest.mark.parametrize("port", [80, 443, 8443])
def test_jobrunners_reach_the_public_internet(rendered: Render, port: int) -> None:
    (policy,) = jobrunner_policies(rendered("minimal").all("NetworkPolicy"))
    assert [address for address in PUBLIC if not opens(policy, address, port)] == []
    assert not opens(policy, "1.1.1.1", port, "UDP")


def test_jobrunners_are_called_by_nobody_and_may_ask_for_names(rendered: Render) -> None:
    (policy,) = jobrunner_policies(rendered("minimal").all("NetworkPolicy"))
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert policy["spec"]["ingress"] == []
    assert opens(policy, "10.43.0.10", 53, "UDP")
    assert opens(policy, "169.254.20.10", 53, "UDP")


def jobrunner_policies(policies: list[Json]) -> list[Json]:
    return [found for found in policies if found["metadata"]["name"].endswith("-jobrunner")]


def test_the_internet_can_be_closed_and_narrowed(helm: Helm, rendered: Render) -> None:
    closed = helm.render(values=MINIMAL | {"networkPolicy.internet.enabled": False})
    (policy,) = jobrunner_policies(closed.all("NetworkPolicy"))
    assert not opens(policy, "1.1.1.1", 443)
    policy = jobrunner_policies(rendered("everything-on").all("NetworkPolicy"))[0]
    assert opens(policy, "1.1.1.1", 443)
    assert not opens(policy, "1.1.1.1", 8443)
    assert not opens(policy, "198.41.0.1", 443)
    assert not opens(policy, "2606:4700::1", 443)


def test_networks_that_are_allowed_are_opened_here_too(rendered: Render) -> None:
    policies = rendered("everything-on").all("NetworkPolicy")
    (operator,) = (found for found in policies if found["metadata"]["name"] == "pictures-operator")
    for policy in [*jobrunner_policies(policies), operator]:
        assert opens(policy, "10.0.5.9", 8080)
        assert not opens(policy, "10.0.5.9", 8081)
        assert opens(policy, "fd00:1::1", 80)
        assert not opens(policy, "fd00:1::1", 81)
        assert opens(policy, "fd00:2::1", 12345)


def test_s3_and_postgres_at_private_addresses_are_opened(rendered: Render) -> None:
    policies = {found["metadata"]["name"]: found for found in rendered("external").all("NetworkPolicy")}
    for part in ("api", "operator", "jobrunner"):
        assert opens(policies[f"imagebatch-{part}"], "10.20.1.1", 9000)
        assert opens(policies[f"imagebatch-{part}"], "10.30.0.5", 5432) is (part != "jobrunner")
        assert opens(policies[f"imagebatch-{part}"], "10.43.0.1", 443) is (part != "jobrunner")
    assert not opens(policies["imagebatch-api"], "1.1.1.1", 443, "UDP")
    assert opens(policies["imagebatch-operator"], "1.1.1.1", 8443), "sources and webhooks"


def test_bundled_services_are_reached_by_those_who_need_them(helm: Helm) -> None:
    made = helm.render(QUICKSTART)
    policies = {found["metadata"]["name"]: found["spec"] for found in made.all("NetworkPolicy")}
    components = {
        found["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]
        for found in made.workloads
    }
    assert components == {"api", "operator", "postgres", "s3"}
    callers = policies["imagebatch-postgres"]["ingress"][0]["from"]
    selected = {peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in callers}
    assert selected == {"api", "operator"}
    assert policies["imagebatch-postgres"]["egress"] == policies["imagebatch-s3"]["egress"] == []
    assert policies["imagebatch-s3"]["ingress"] == [{"ports": [{"port": 8333, "protocol": "TCP"}]}]
    for part in ("api", "operator", "jobrunner"):
        assert "s3" in set(components_called(policies[f"imagebatch-{part}"]))
        assert ("postgres" in components_called(policies[f"imagebatch-{part}"])) is (part != "jobrunner")


def components_called(spec: Json) -> Iterator[str]:
    for rule in spec["egress"]:
        for peer in rule.get("to", []):
            if "podSelector" in peer:
                yield peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]


def test_every_pod_has_a_policy(helm: Helm) -> None:
    made = helm.render(QUICKSTART)
    selectors = [found["spec"]["podSelector"]["matchLabels"] for found in made.all("NetworkPolicy")]
    for workload in made.workloads:
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert any(selector.items() <= labels.items() for selector in selectors)


def test_there_need_be_no_policies(helm: Helm) -> None:
    made = helm.render(values=MINIMAL | {"networkPolicy.enabled": False})
    assert not made.all("NetworkPolicy")


# -- the same addresses as the programs close --------------------------------------------------------------


def internet() -> Blocks:
    (blocks,) = load((CHART / "files" / "internet.yaml").read_text())
    return dict(blocks)


def is_closed(address: str) -> bool:
    try:
        AddressPolicy().check(ip_address(address), 443)
    except AddressForbiddenError:
        return True
    return False


def borders(network: Network) -> Iterator[str]:
    """Addresses just inside and just outside a network."""
    first, last = int(network.network_address), int(network.broadcast_address)
    for number in (first - 1, first, last, last + 1):
        if 0 <= number < 1 << network.max_prefixlen:
            yield str(IPv4Address(number) if network.version == 4 else IPv6Address(number))


def test_the_policies_close_what_the_programs_close() -> None:
    blocks = [{"cidr": cidr, "except": closed} for cidr, closed in internet().items()]
    networks = [ip_network(text) for cidr, closed in internet().items() for text in (cidr, *closed)]
    networks += [network for network, _ in guard._SPECIAL]
    tried = {address for network in networks for address in borders(network)}
    tried |= {*CLOSED, *PUBLIC, *map(str, guard._METADATA)}
    assert len(tried) > 150
    for address in tried:
        is_open = any(in_block(block, address) for block in blocks)
        assert is_open is not is_closed(address), address
