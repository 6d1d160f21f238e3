"""Which addresses apps may reach. Pure; asked for every address of every DNS answer, just before it is connected to.

By default that is the public internet and nothing else: not this machine, not the network it is in, and not the
metadata services of clouds. The tables are the IANA special-purpose address registries (RFC 6890 and its updates),
written out because the standard library's `is_global` differs between Python versions.
"""

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NOT_PUBLIC_4 = [
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; also Alibaba's metadata service
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's metadata service, the one with a public number
        "169.254.0.0/16",  # link-local; most metadata services
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; also Oracle's metadata service
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
]
# Only 2000::/3 is global unicast: loopback, unique local, link-local, site-local, multicast and IPv4-compatible
# addresses, and NAT64 for local use (64:ff9b:1::/48), are all outside.
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6 = [
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo (embeds IPv4), benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 (embeds IPv4), deprecated
        "3fff::/20",  # documentation
    )
]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Tell whether `address` is on the public internet; an IPv6 form of an IPv4 address counts as that address."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    embedded = embedded_ipv4(address)
    if embedded is not None:
        return is_public(embedded)
    if address.scope_id is not None or address not in _GLOBAL_6:
        return False
    return not any(address in network for network in _NOT_PUBLIC_6)


def embedded_ipv4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that connecting to `address` reaches: IPv4-mapped, or NAT64 by its well-known prefix."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


class AllowRuleError(ValueError):
    """An entry of `egress_allow` is neither a network, an address nor a host name."""


class AddressPolicy:
    """Public addresses, and what the operator's `egress_allow` adds.

    Each entry is a network (`10.1.0.0/16`), an address (`10.1.2.3`, `fd00::1`), a host name (`db.internal`,
    `*.internal` for all names below), or an address or host name with a port (`127.0.0.1:9000`, `[fd00::1]:9000`,
    `db.internal:5432`). A host name permits whatever addresses it resolves to. Raises `AllowRuleError`.
    """

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self._networks: list[tuple[Network, int | None]] = []
        self._names: set[tuple[str, int | None]] = set()
        self._rules = [rule.strip() for rule in allow]
        for rule in self._rules:
            self._add(rule)

    def __repr__(self) -> str:
        return f"<AddressPolicy public{''.join(', ' + rule for rule in self._rules)}>"

    def permits(self, address: Address, host: str, port: int) -> bool:
        """Tell whether `address`, which `host` resolved to, may be connected to on `port`."""
        return is_public(address) or self.allows(address, host, port)

    def allows(self, address: Address, host: str, port: int) -> bool:
        """Tell whether the operator's list names this destination."""
        if self._names and any((name, at) in self._names for name in (host, *_above(host)) for at in (None, port)):
            return True
        forms: list[Address] = [address]
        if isinstance(address, ipaddress.IPv6Address) and (embedded := embedded_ipv4(address)) is not None:
            forms.append(embedded)
        return any(
            form in network and at in (None, port)
            for form in forms
            for network, at in self._networks
            if form.version == network.version
        )

    def _add(self, rule: str) -> None:
        try:
            self._networks.append((ipaddress.ip_network(rule, strict=False), None))
            return
        except ValueError:
            pass
        host, port = rule, None
        if (colon := rule.rfind(":")) != -1:
            host, digits = rule[:colon], rule[colon + 1 :]
            if not digits.isascii() or not digits.isdigit() or not 0 < int(digits) < 65536:
                raise AllowRuleError(f"egress_allow: {rule!r} is not a network, an address, or a host name with a port")
            port = int(digits)
        try:
            literal = host[1:-1] if host.startswith("[") and host.endswith("]") else host
            self._networks.append((ipaddress.ip_network(literal), port))
            return
        except ValueError:
            pass
        name = host.lower().removesuffix(".")
        labels = name.removeprefix("*.").split(".")
        if not all(label and label.isascii() and label.replace("-", "").replace("_", "").isalnum() for label in labels):
            raise AllowRuleError(f"egress_allow: {rule!r} is not a network, an address or a host name")
        self._names.add((name, port))


def _above(host: str) -> Iterable[str]:
    """Yield the wildcard names that cover `host`, at any depth."""
    _, dot, parent = host.partition(".")
    while dot:
        yield "*." + parent
        _, dot, parent = parent.partition(".")
