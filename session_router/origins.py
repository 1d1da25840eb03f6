"""Which site the page is of that a browser's request comes from."""

from collections.abc import Collection, Sequence
from typing import Final
from urllib.parse import urlsplit

_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def other_site(hosts: Collection[str], origins: Sequence[str], sites: Sequence[str]) -> str | None:
    """What a browser says of the page that sent a request, where it is another site's.

    A client that is no browser says nothing.

    Args:
        hosts: the request's values of `Host`.
        origins: its values of `Origin`.
        sites: its values of `Sec-Fetch-Site`.
    """
    if sites:
        is_ours = all(site in ("same-origin", "none") for site in sites)
        return None if is_ours else ", ".join(origins or sites)
    return next((origin for origin in origins if not _is_origin_of(origin, hosts)), None)


def _is_origin_of(origin: str, hosts: Collection[str]) -> bool:
    """Compares without the scheme: what ends TLS in front of the service takes that away."""
    try:
        parts = urlsplit(origin.casefold())
    except ValueError:
        return False
    port = _DEFAULT_PORTS.get(parts.scheme)
    if port is None:
        return False
    ours = {host.casefold().removesuffix(port) for host in hosts}
    return parts.netloc.removesuffix(port) in ours
