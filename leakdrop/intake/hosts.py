"""Whether a visitor came by our own address, and not by somebody else's server.

A gateway from the web to Tor sees who asks and all that passes. Most of them say so in a header; others ask
for the site by a name of their own. One that does neither cannot be told from Tor Browser.
"""

import re
from collections.abc import Mapping

# What a server in between adds to a request, and Tor Browser never sends.
ADDED_BY_OTHERS = frozenset(
    {
        "HTTP_X_TOR2WEB",
        "HTTP_X_FORWARDED_FOR",
        "HTTP_X_FORWARDED_HOST",
        "HTTP_X_FORWARDED_PROTO",
        "HTTP_X_REAL_IP",
        "HTTP_FORWARDED",
        "HTTP_VIA",
    }
)
_HOST = re.compile(r"(\[[0-9a-f:]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?", re.ASCII)
_ONION = re.compile(r"([a-z0-9-]+\.)*[a-z2-7]{56}\.onion", re.ASCII)
# A name that leads from this machine to itself, and nowhere else.
_LOOPBACK = re.compile(r"localhost|0\.0\.0\.0|127(\.[0-9]{1,3}){3}|\[::1\]", re.ASCII)


def came_by_another_server(environ: Mapping[str, object]) -> bool:
    """Whether a header of the request says that a server in between passed it on."""
    return not ADDED_BY_OTHERS.isdisjoint(environ)


def is_ours(host: str, onion_address: str) -> bool:
    """Whether a Host header names this site: its onion address (any, if it is ""), or the machine itself."""
    match = _HOST.fullmatch(host.lower())
    if not match:
        return False
    name = match[1]
    if _LOOPBACK.fullmatch(name):
        return True
    if onion_address:
        return name == onion_address or name.endswith(f".{onion_address}")
    return bool(_ONION.fullmatch(name))
