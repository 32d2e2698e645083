"""Which addresses may be dialled."""

from ipaddress import ip_address

import pytest

from imagebatch.errors import AddressForbiddenError, SettingsError
from imagebatch.guard import AddressPolicy

PUBLIC = [
    "1.1.1.1",
    "93.184.216.34",
    "2606:4700::1111",
    "64:ff9b::101:101",
    "::ffff:1.1.1.1",
    "2002:101:101::1",
]
CLOSED = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.1.1", "172.16.0.1",
    "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.7",
    "203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
    "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "3fff::1", "5f00::1", "fc00::1",
    "fdff::1", "fe80::1", "fec0::1", "ff02::1", "4000::1", "2606:4700::5efe:7f00:1", "::ffff:0:7f00:1",
]  # fmt: skip
METADATA = [
    "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254",
    "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_open(address: str) -> None:
    AddressPolicy().check(ip_address(address), 443)


@pytest.mark.parametrize("address", CLOSED)
def test_special_addresses_are_closed(address: str) -> None:
    with pytest.raises(AddressForbiddenError):
        AddressPolicy().check(ip_address(address), 443)


@pytest.mark.parametrize("address", METADATA)
def test_metadata_services_are_closed_whatever_is_opened(address: str) -> None:
    policy = AddressPolicy.parse("0.0.0.0/0, [::/0]")
    with pytest.raises(AddressForbiddenError):
        policy.check(ip_address(address), 80)


def test_an_opening_opens_its_network_on_its_port_only() -> None:
    policy = AddressPolicy.parse("127.0.0.1/32:8091, 10.0.0.0/8,[fd00::/8]:80")
    policy.check(ip_address("127.0.0.1"), 8091)
    policy.check(ip_address("::ffff:127.0.0.1"), 8091)
    policy.check(ip_address("10.9.9.9"), 1)
    policy.check(ip_address("fd00::1"), 80)
    for address, port in (("127.0.0.1", 80), ("127.0.0.2", 8091), ("fd00::1", 81)):
        with pytest.raises(AddressForbiddenError):
            policy.check(ip_address(address), port)


@pytest.mark.parametrize(
    "text", ["localhost", "10.0.0.0/8:http", "10.0.0.0/8:0", "300.1.1.1", "[fd00::/8]:99999"]
)
def test_a_wrong_opening_is_told_with_its_variable(text: str) -> None:
    with pytest.raises(SettingsError, match="IMAGEBATCH_ALLOWED_NETWORKS"):
        AddressPolicy.parse(text)
