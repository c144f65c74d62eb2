"""Free loopback ports for servers that must be told their port."""

import random
import socket

# Below the kernel's ephemeral range (32768 and up), so that no outgoing connection takes one meanwhile.
_FIRST, _LAST = 20000, 32000


def is_free(port: int) -> bool:
    """Whether a loopback port can be bound right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int, *, chance: random.Random) -> list[int]:
    """Distinct free ports. Another process may take one before it is used: the caller must retry then."""
    found: list[int] = []
    while len(found) < count:
        port = chance.randint(_FIRST, _LAST)
        if port not in found and is_free(port):
            found.append(port)
    return found
