"""Writes results to Redis within milliseconds, and reads them: by event id, the latest of each camera, and live."""

from sinks.redis.address import InvalidRedisSettings, RedisAddress, RedisSettings
from sinks.redis.errors import ResultsUnavailable
from sinks.redis.results import LiveEntry, RedisResults
from sinks.redis.sink import RedisSink

__all__ = [
    "InvalidRedisSettings",
    "LiveEntry",
    "RedisAddress",
    "RedisResults",
    "RedisSettings",
    "RedisSink",
    "ResultsUnavailable",
]
