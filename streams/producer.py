"""Kept for one version: the producer is ``streams.client.Producer`` now, and ``Sent`` is called ``DeliveryHandle``."""

from __future__ import annotations

from typing import Any

from streams.client import producer
from streams.client.delivery_report import DeliveryHandle
from streams.client.settings import ClientOptions

Sent = DeliveryHandle


class Producer(producer.Producer):
    """As ``streams.client.Producer``, but it takes any bytes for a picture, as it used to: the workers refuse them."""

    def __init__(self, settings: ClientOptions | None = None, **options: Any) -> None:
        super().__init__(settings, **{"check_format": False} | options)


__all__ = ["Producer", "Sent"]
