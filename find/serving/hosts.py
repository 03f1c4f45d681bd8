"""The checks of Host and Origin: without them, a foreign web page could read an album, or change a review.

By DNS rebinding an attacker lets the page's own domain resolve to this machine; the browser then sends that domain as
the Host header. Numeric addresses cannot be rebound. A page elsewhere can also send requests to this machine's own
names without reading the answers; the browser then sends the page's origin.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from fnmatch import fnmatchcase

from starlette.datastructures import Headers

from find.serving.limits import Refusal

DEFAULT_PORTS = {"http": ":80", "https": ":443"}
"""Browsers leave them out of an origin."""
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


def check_same_origin(headers: Headers) -> None:
    """Raises Refusal (403) for a request that a page of another origin sends: a browser names the origin, and other
    clients do not. To be asked of requests that may change something; pages elsewhere cannot read answers anyway.
    """
    site, origin, host = (headers.get(name) for name in ("sec-fetch-site", "origin", "host"))
    is_foreign = site is not None and site not in ("same-origin", "none")
    if origin is not None and host is not None:
        scheme, _, address = origin.lower().partition("://")
        port = DEFAULT_PORTS.get(scheme, "")
        is_foreign = is_foreign or address.removesuffix(port) != host.lower().removesuffix(port)
    if is_foreign:
        raise Refusal(403, "the page of another site sent this request; only this service's own page may")


def _without_port(header: str) -> str:
    if header.startswith("["):  # an IPv6 address
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
