"""Whether this environment can read what producers and topics compress."""

from __future__ import annotations

from aiokafka import codec

from streams.kafka.connection import CODECS


class CodecMissing(Exception):
    """A package is missing without which some messages cannot be read; the message says what to do."""


def check_codecs() -> None:
    """See whether every codec of Kafka can be read, before a worker dies of the first message that has one.

    ``client_config`` asks librdkafka; this asks aiokafka, which misses a package only when it needs it.

    Raises:
        CodecMissing: one cannot.
    """
    can = {"gzip": codec.has_gzip, "snappy": codec.has_snappy, "lz4": codec.has_lz4, "zstd": codec.has_zstd}
    if missing := [name for name in CODECS if not can[name]()]:
        raise CodecMissing(
            f"messages compressed with {', '.join(missing)} cannot be read here, since the package cramjam is missing: "
            "install it (`make setup` does)"
        )
