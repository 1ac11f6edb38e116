"""Which addresses may be asked for what a spec names: not this machine, nor where clouds keep their credentials.

A name is resolved once, each of its addresses is looked at before anything is sent there, and the connection goes to
the address that was looked at: a name that leads elsewhere a moment later changes nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from executor.errors import SourceUnreachable

SETTING = "EXECUTOR_SOURCE_HOSTS"
"""Variable that names hosts, separated by commas, which may be asked wherever they are."""
Connect = Callable[..., socket.socket]
Address = IPv4Address | IPv6Address
_METADATA = frozenset(
    map(ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
"""Where Alibaba, Azure, Oracle, AWS and Google answer every process, beside the link-local 169.254.169.254."""
_THIS_NETWORK, _NAT64, _COMPATIBLE = IPv4Network("0.0.0.0/8"), IPv6Network("64:ff9b::/96"), IPv6Network("::/96")


def named_hosts(text: str) -> frozenset[str]:
    """Hosts of the setting, in lower case."""
    return frozenset(name.strip().lower() for name in text.split(",") if name.strip())


def checked(hosts: frozenset[str], *, loopback: bool) -> Connect:
    """A `socket.create_connection` that refuses with `SourceUnreachable`, except for `hosts` and, if so, `loopback`."""

    def connect(place: tuple[str, int], timeout: float | None = None, _: object = None) -> socket.socket:
        host, port = place
        found = [row[4][0] for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        allowed = [one for one in found if host.lower() in hosts or _may_be_asked(str(one), loopback=loopback)]
        if not allowed:
            raise SourceUnreachable(
                f"{host} is {found[0]}, an address of this machine or its cloud",
                advice=f"if it may be asked, name {host} in {SETTING}",
            )
        return _first(map(str, allowed), port, timeout)

    return connect


def _first(addresses: Iterable[str], port: int, timeout: float | None) -> socket.socket:
    """The first of the addresses that answers."""
    problem = OSError("no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout)
        except OSError as error:
            problem = error
    raise problem


def _may_be_asked(text: str, *, loopback: bool) -> bool:
    return all(_harmless(one, loopback=loopback) for one in _meant(ip_address(text.partition("%")[0])))


def _harmless(address: Address, *, loopback: bool) -> bool:
    if address.is_loopback:
        return loopback
    special = address.is_link_local or address.is_multicast or address.is_reserved or address.is_unspecified
    return not special and address not in _METADATA and address not in _THIS_NETWORK


def _meant(address: Address) -> Iterator[Address]:
    """The address, or the IPv4 address that an IPv6 one only wraps."""
    if not isinstance(address, IPv6Address):
        yield address
    elif wrapped := address.ipv4_mapped or address.sixtofour:
        yield wrapped
    elif address.teredo:
        yield from address.teredo
    elif address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        yield IPv4Address(int(address) & 0xFFFFFFFF)
    else:
        yield address
