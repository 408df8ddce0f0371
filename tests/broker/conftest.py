from __future__ import annotations

import pytest

from tests.broker.kit import World


@pytest.fixture
def world():
    """A broker with default settings and nothing stored."""
    return World()


@pytest.fixture(params=[4, 5], ids=["v311", "v5"])
def version(request):
    """Both versions of the protocol, by their level."""
    return request.param


@pytest.fixture(params=[True, False], ids=["bulk", "objects"])
def bulk(request):
    """Both paths through the broker: plain traffic in bulk, or everything as objects."""
    return request.param


@pytest.fixture(params=[False, True], ids=["memory", "stored"])
def stored(request):
    """Without and with a storage."""
    return request.param


@pytest.fixture
def make_world(bulk, stored):
    """Makes a World with the settings given, in the four flavours of `bulk` and `stored`."""

    def make(**config):
        return World(stored=stored, bulk_path=bulk, **config)

    return make
