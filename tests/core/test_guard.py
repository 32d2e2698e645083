"""Which addresses may be dialled."""

from collections.abc import Callable, Iterator
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

import pytest

from imagebatch.errors import AddressForbiddenError, SettingsError
from imagebatch.net.guard import Address, AddressPolicy

IPV4_REGISTRY = [
    "0.0.0.0/8", "0.0.0.0/32", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
    "172.16.0.0/12", "192.0.0.0/24", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.9/32", "192.0.0.10/32",
    "192.0.0.170/32", "192.0.0.171/32", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24",
    "192.88.99.0/24", "192.88.99.2/32", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "255.255.255.255/32",
]  # fmt: skip
IPV6_REGISTRY = [
    "::1/128", "::/128", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64",
    "2001::/23", "2001::/32", "2001:1::1/128", "2001:1::2/128", "2001:1::3/128", "2001:2::/48",
    "2001:3::/32", "2001:4:112::/48", "2001:10::/28", "2001:20::/28", "2001:30::/28", "2001:db8::/32",
    "2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10",
]  # fmt: skip
"""https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry, every row."""

OTHERS = ["224.0.0.0/4", "ff00::/8", "fec0::/10", "::/96", "::ffff:0:0:0/96"]
"""Multicast (RFC 5771, RFC 4291), and what RFC 4291 and RFC 7915 deprecate or keep inside networks."""

BLOCKS = [ip_network(block) for block in (*IPV4_REGISTRY, *IPV6_REGISTRY, *OTHERS)]
GLOBAL_UNICAST = ip_network("2000::/3")

INSIDE = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1",
    "192.0.0.192", "192.168.1.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "168.63.129.16",
]  # fmt: skip

EMBEDDINGS: dict[str, Callable[[int], int]] = {
    "mapped": lambda v4: 0xFFFF << 32 | v4,
    "compatible": lambda v4: v4,
    "translated": lambda v4: 0xFFFF << 48 | v4,
    "NAT64": lambda v4: int(IPv6Address("64:ff9b::")) | v4,
    "local NAT64": lambda v4: int(IPv6Address("64:ff9b:1::")) | v4,
    "6to4": lambda v4: 0x2002 << 112 | v4 << 80 | 1,
    "Teredo client": lambda v4: 0x2001 << 112 | 0x01010101 << 64 | (~v4 & 0xFFFF_FFFF),
    "Teredo server": lambda v4: 0x2001 << 112 | v4 << 64 | 0xFEFE_FEFE,
    "ISATAP": lambda v4: int(IPv6Address("2606:4700::5efe:0:0")) | v4,
    "ISATAP, unique": lambda v4: int(IPv6Address("2606:4700::200:5efe:0:0")) | v4,
}

PUBLIC = [
    "1.1.1.1", "93.184.216.34", "169.253.255.255", "2606:4700::1111", "64:ff9b::101:101",
    "::ffff:1.1.1.1", "2002:101:101::1", "2606:4700::5efe:101:101",
]  # fmt: skip
METADATA = [
    "169.254.169.254", "169.254.170.2", "169.254.0.23", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "fd00:ec2::254", "fd00:ec2::253", "fe80::a9fe:a9fe", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe",
    "64:ff9b::a83f:8110", "2002:a9fe:a9fe::",
]  # fmt: skip


def is_open(address: Address, policy: AddressPolicy = AddressPolicy()) -> bool:  # noqa: B008 - frozen
    try:
        policy.check(address, 443)
    except AddressForbiddenError:
        return False
    return True


def edges(block: IPv4Network | IPv6Network) -> Iterator[tuple[Address, bool]]:
    """The first and last address of a block and the two just outside, each with whether it is open."""
    first, last = block.network_address, block.broadcast_address
    kind = type(first)
    yield first, False
    yield last, False
    for number in (int(first) - 1, int(last) + 1):
        if 0 <= number < 1 << block.max_prefixlen:
            yield kind(number), expected_open(kind(number))


def expected_open(address: Address) -> bool:
    special = any(address in block for block in BLOCKS)
    return not special and (isinstance(address, IPv4Address) or address in GLOBAL_UNICAST)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_special_block_is_closed_from_its_first_to_its_last_address_and_no_further(
    block: IPv4Network | IPv6Network,
) -> None:
    for address, is_expected_open in edges(block):
        assert is_open(address) is is_expected_open, address


def test_the_edges_of_the_blocks_are_open_somewhere() -> None:
    found = [address for block in BLOCKS for address, is_expected_open in edges(block) if is_expected_open]
    assert {type(address) for address in found} == {IPv4Address, IPv6Address}
    assert len(found) > 30


@pytest.mark.parametrize("embedding", EMBEDDINGS)
@pytest.mark.parametrize("address", INSIDE)
def test_a_closed_address_stays_closed_inside_of_an_ipv6_address(embedding: str, address: str) -> None:
    inside = IPv6Address(EMBEDDINGS[embedding](int(IPv4Address(address))))
    assert not is_open(inside), inside


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_open_on_every_port(address: str) -> None:
    for port in (1, 22, 80, 443, 8080, 65_535):
        AddressPolicy().check(ip_address(address), port)


@pytest.mark.parametrize("address", METADATA)
def test_metadata_services_are_closed_whatever_is_opened(address: str) -> None:
    assert not is_open(ip_address(address), AddressPolicy.parse("0.0.0.0/0, [::/0]"))


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
