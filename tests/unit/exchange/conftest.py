"""Fixtures of the venue without sockets."""

import pytest

from support.exchange_world import Client, World


@pytest.fixture
def world():
    return World()


@pytest.fixture
def make_world():
    return World


@pytest.fixture
def client(world):
    return Client(world)


@pytest.fixture
def make_client(world):
    return lambda **limits: Client(world, **limits)
