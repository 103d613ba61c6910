# SPDX-License-Identifier: Apache-2.0
"""Which addresses are public, whatever they are dressed up as."""

from collections.abc import Iterable
import ipaddress

IP = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

# Not public by IANA's registries, but global to the ipaddress of some of the
# Pythons we run on: 3.11.7 has 6to4, its relays and the newer documentation
# prefix as global.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",
        "192.88.99.0/24",
        "2001::/23",
        "2002::/16",
        "3fff::/20",
    )
)


def embedded(address: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """Give the IPv4 addresses that a gateway may make of an IPv6 one."""
    low = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    found = []
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found.extend(address.teredo)
    if address in _NAT64:
        found.append(low)
    if address in _COMPATIBLE and int(address) > 1:
        found.append(low)
    return found


def faces(address: IP) -> list[IP]:
    """Give every address at which packets for ``address`` may arrive."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        # The kernel sends these over IPv4: it is the IPv4 address.
        return [address.ipv4_mapped]
    return [address, *embedded(address)]


def is_public(address: IP) -> bool:
    """Tell whether anybody on the internet may be meant by ``address``.

    Not loopback, link-local, private, shared (CGNAT), multicast, reserved,
    unspecified, for documentation or for a transition mechanism but NAT64.
    """
    if any(address in network for network in _NOT_PUBLIC):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address in _NAT64 or (
            address in _GLOBAL_UNICAST and address.is_global
        )
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
    )


def permitted(address: IP, allowed: Iterable[Network]) -> bool:
    """Tell whether ``address``, in all its faces, is public or ``allowed``."""
    networks = tuple(allowed)
    return all(
        is_public(face) or any(face in network for network in networks)
        for face in faces(address)
    )
