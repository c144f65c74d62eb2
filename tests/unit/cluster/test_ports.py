"""Ports for servers that must be told theirs."""

import random
import socket

from mm_cluster.ports import free_ports, is_free


def test_ports_are_distinct_bindable_and_outside_the_ephemeral_range():
    ports = free_ports(20, chance=random.Random(1))
    assert len(set(ports)) == 20
    assert all(20000 <= port <= 32000 for port in ports)
    for port in ports:
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))


def test_a_port_in_use_is_not_given():
    (port,) = free_ports(1, chance=random.Random(2))
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))
        server.listen()
        assert not is_free(port)
        assert free_ports(1, chance=random.Random(2)) != [port]
