"""Which hosts a service answers to: without that, a page elsewhere could read an album by DNS rebinding.

The page's own name, made to resolve to this machine, is a host of the attacker's in the browser's eyes; the Host header
tells it. Addresses in numbers cannot be rebound.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from fnmatch import fnmatchcase

from find.serving.limits import Refusal

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class AllowedHosts:
    """Loopback's names, the address that the service is bound to, and what is allowed besides.

    Args:
        bound: the address; where that is all of the machine's (0.0.0.0 or ::), any address in numbers is answered to.
        allowed: further names, such as that of a proxy or of this machine; "*.example.org" stands for all names that
            end so, "*" for all there are.
    """

    def __init__(self, bound: str = "127.0.0.1", allowed: Sequence[str] = ()) -> None:
        self.names = (*LOOPBACK, bound.lower(), *(name.lower() for name in allowed))
        address = _address(bound)
        self.any_address = address is not None and address.is_unspecified

    def check(self, header: str | None) -> None:
        """Raises Refusal, 421, for a Host header of another name. Requests without one come from no browser."""
        if header is None:
            return
        host = _without_port(header).lower().removesuffix(".")
        if any(fnmatchcase(host, name) for name in self.names) or (self.any_address and _address(host)):
            return
        raise Refusal(
            421, f"this service does not answer to the host {host[:80]!r}; start it with --allowed-host {host[:80]}"
        )


def _without_port(header: str) -> str:
    if header.startswith("["):  # an address of IPv6
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
