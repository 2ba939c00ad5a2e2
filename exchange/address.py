"""Where the RPC of an IPFS node is: a URL, or the same as a multiaddr.

    http://127.0.0.1:5001    /ip4/127.0.0.1/tcp/5001/http
    https://node.example:443    /dns/node.example/tcp/443/https

Reference: multiformats, "multiaddr".
"""

import ipaddress
import re
import urllib.parse

from exchange import errors

_MULTIADDR = re.compile(r"/(ip4|ip6|dns|dns4|dns6)/[^/\s@]+/tcp/[0-9]{1,5}(/https?)?")


def multiaddr(address: str) -> str:
    """The multiaddr of a node's RPC, which is given as such or as a URL of host and port.

    Raises:
        PeerError: it is neither, or holds a password or a path.
    """
    if _MULTIADDR.fullmatch(address):
        return address
    try:
        url = urllib.parse.urlsplit(address)
        host, port = url.hostname, url.port
    except ValueError:
        raise _wrong(address) from None
    if not host or port is None or url.scheme not in {"http", "https"} or "@" in url.netloc:
        raise _wrong(address)
    if url.path not in {"", "/"} or url.query or url.fragment:
        raise _wrong(address)
    try:
        kind = f"ip{ipaddress.ip_address(host).version}"
    except ValueError:
        kind = "dns"
    return f"/{kind}/{host}/tcp/{port}/{url.scheme}"


def _wrong(address: str) -> errors.PeerError:
    shown = address.rpartition("@")[2]  # what stands before may be a password
    return errors.PeerError(f"{shown[:120]!r} is no address of a node: expected http://HOST:PORT or its multiaddr")
