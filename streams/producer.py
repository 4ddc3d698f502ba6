"""Kept for one version: the producer is ``streams.client.Producer`` now, and ``Sent`` is called ``DeliveryHandle``."""

from __future__ import annotations

from streams.client.delivery_report import DeliveryHandle
from streams.client.producer import Producer

Sent = DeliveryHandle

__all__ = ["Producer", "Sent"]
