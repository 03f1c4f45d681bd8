"""The Host header check: without it, a foreign web page could read an album by DNS rebinding.

An attacker lets the page's own domain resolve to this machine; the browser then sends that domain as the Host header.
Numeric addresses cannot be rebound.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from fnmatch import fnmatchcase

from find.serving.limits import Refusal

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class AllowedHosts:
    """Accepts loopback names, the address that the service is bound to, and further allowed names.

    Args:
        bound: the address; for 0.0.0.0 or ::, any numeric address is accepted.
        allowed: further names, such as that of a proxy or of this machine; "*.example.org" matches all its subdomains,
            "*" matches every name.
    """

    def __init__(self, bound: str = "127.0.0.1", allowed: Sequence[str] = ()) -> None:
        self.names = (*LOOPBACK, bound.lower(), *(name.lower() for name in allowed))
        address = _address(bound)
        self.any_address = address is not None and address.is_unspecified

    def check(self, header: str | None) -> None:
        """Raises Refusal (421) for any other Host header. Requests without one do not come from a browser."""
        if header is None:
            return
        host = _without_port(header).lower().removesuffix(".")
        if any(fnmatchcase(host, name) for name in self.names) or (self.any_address and _address(host)):
            return
        raise Refusal(
            421, f"this service does not answer to the host {host[:80]!r}; start it with --allowed-host {host[:80]}"
        )


def _without_port(header: str) -> str:
    if header.startswith("["):  # an IPv6 address
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
