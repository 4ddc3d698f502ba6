"""Kept for one version: the producer is in ``streams.client.producer`` now."""

from __future__ import annotations

from streams.client.producer import Producer

__all__ = ["Producer"]
