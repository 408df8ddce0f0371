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
