"""Which addresses may be dialled for strangers.

Strangers choose the hosts of image links, CSV `url` sources and webhooks. Whenever `imagebatch.net.http.dial`
dials a name, the policy here checks every address of that name. Only global unicast is open by default;
`IMAGEBATCH_ALLOWED_NETWORKS` opens more, but never a cloud's metadata service.

Sources: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its successors), and
the clouds' documentation for the metadata addresses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from imagebatch.errors import AddressForbiddenError, SettingsError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_METADATA: dict[Address, str] = {
    ip_address(address): name
    for address, name in {
        "169.254.169.254": "cloud metadata",
        "169.254.169.253": "AWS DNS",
        "169.254.169.123": "AWS time",
        "169.254.170.2": "AWS ECS credentials",
        "169.254.170.23": "AWS EKS credentials",
        "100.100.100.200": "Alibaba Cloud metadata",
        "168.63.129.16": "Azure platform",
        "192.0.0.192": "Oracle Cloud metadata",
        "169.254.0.23": "Tencent Cloud metadata",
        "fe80::a9fe:a9fe": "OpenStack metadata",
        "fd00:ec2::253": "AWS DNS",
        "fd00:ec2::123": "AWS time",
        "fd00:ec2::254": "AWS metadata",
        "fd00:ec2::23": "AWS EKS credentials",
        "fd20:ce::254": "Google Cloud metadata",
        "fd00:42::42": "Scaleway metadata",
    }.items()
}

_SPECIAL: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), name)
    for network, name in {
        "0.0.0.0/8": "this network",
        "10.0.0.0/8": "private",
        "100.64.0.0/10": "shared address space",
        "127.0.0.0/8": "loopback",
        "169.254.0.0/16": "link-local",
        "172.16.0.0/12": "private",
        "192.0.0.0/24": "IETF protocol assignments",
        "192.0.2.0/24": "documentation",
        "192.31.196.0/24": "AS112",
        "192.52.193.0/24": "AMT",
        "192.88.99.0/24": "6to4 relay",
        "192.168.0.0/16": "private",
        "192.175.48.0/24": "AS112",
        "198.18.0.0/15": "benchmarking",
        "198.51.100.0/24": "documentation",
        "203.0.113.0/24": "documentation",
        "224.0.0.0/4": "multicast",
        "240.0.0.0/4": "reserved",
        "::/128": "unspecified",
        "::1/128": "loopback",
        "100::/64": "discard-only",
        "100:0:0:1::/64": "dummy prefix",
        "2001::/23": "IETF protocol assignments",
        "2001:db8::/32": "documentation",
        "2620:4f:8000::/48": "AS112",
        "3fff::/20": "documentation",
        "5f00::/16": "segment routing",
        "64:ff9b:1::/48": "local NAT64",
        "fc00::/7": "unique local",
        "fe80::/10": "link-local",
        "fec0::/10": "site-local",
        "ff00::/8": "multicast",
    }.items()
)
_GLOBAL_UNICAST_V6 = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")
_TRANSLATED = ip_network("::ffff:0:0:0/96")
_SIX_TO_FOUR = ip_network("2002::/16")
_TEREDO = ip_network("2001::/32")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


@dataclass(frozen=True, slots=True)
class Opening:
    """A network that the administrator opened, on one port or on all (None)."""

    network: Network
    port: int | None

    def covers(self, address: Address, port: int) -> bool:
        return address in self.network and self.port in {None, port}


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """The rule of one process: what is open by default, and what its administrator opened."""

    openings: Sequence[Opening] = ()

    @classmethod
    def parse(cls, text: str) -> "AddressPolicy":
        """Read `CIDR[:port]`, comma-separated; IPv6 with a port in brackets: `[fd00::/8]:80`."""
        return cls(tuple(_opening(part.strip()) for part in text.split(",") if part.strip()))

    def check(self, address: Address, port: int) -> None:
        """Raise AddressForbiddenError unless `address` may be dialled on `port`."""
        every = [address, *embedded(address)]
        for one in every:
            if one in _METADATA:
                raise AddressForbiddenError(f"{address} is a {_METADATA[one]} address", can_be_opened=False)
        if any(opening.covers(address, port) for opening in self.openings):
            return
        for one in every:
            kind = _special_kind(one)
            if kind is not None and not any(opening.covers(one, port) for opening in self.openings):
                raise AddressForbiddenError(f"{address} is not a public address ({kind})")


def embedded(address: Address) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 address carries inside: mapped, NAT64, 6to4, Teredo, ISATAP …"""
    if isinstance(address, IPv4Address):
        return []
    low = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _NAT64 or address in _TRANSLATED:
        return [low]
    if address in _COMPATIBLE and int(address) > 1:
        return [low]
    if address in _SIX_TO_FOUR:
        return [IPv4Address((int(address) >> 80) & 0xFFFF_FFFF)]
    if address in _TEREDO:
        return [
            IPv4Address((int(address) >> 64) & 0xFFFF_FFFF),
            IPv4Address(~int(low) & 0xFFFF_FFFF),
        ]
    if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
        return [low]
    return []


def _special_kind(address: Address) -> str | None:
    for network, name in _SPECIAL:
        if address in network:
            return name
    carries_public_v4 = address in _NAT64 or (isinstance(address, IPv6Address) and address.ipv4_mapped)
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST_V6 and not carries_public_v4:
        return "not global unicast"
    return None


def _opening(text: str) -> Opening:
    network, port = text, ""
    if text.startswith("["):
        network, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        network, _, port = text.partition(":")
    try:
        return Opening(ip_network(network, strict=False), _port(port) if port else None)
    except ValueError as error:
        raise SettingsError(
            f"IMAGEBATCH_ALLOWED_NETWORKS: {text!r} is not CIDR[:port], such as 127.0.0.1/32:8091 ({error})"
        ) from None


def _port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 0xFFFF:
        raise ValueError(f"{text!r} is not a port")
    return int(text)


WIDEST = AddressPolicy.parse("0.0.0.0/0,[::/0]")
"""All that an administrator may open. For hosts that he names himself."""
