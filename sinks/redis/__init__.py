"""Writes results to Redis within milliseconds, and reads them: by event id, the latest of each camera, and live."""

from sinks.redis.errors import ResultsUnavailable
from sinks.redis.results import LiveEntry, RedisResults
from sinks.redis.sink import RedisSink

__all__ = ["LiveEntry", "RedisResults", "RedisSink", "ResultsUnavailable"]
