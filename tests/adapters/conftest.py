"""Fixtures of the adapter tests."""

from __future__ import annotations

from tests.adapters.kit import certificates

__all__ = ["certificates"]
