"""Says of a service that does not answer whether it comes back by itself, and which stacks run elsewhere."""

from __future__ import annotations

import re

from streams.cli.console import load_settings

_START_ONE = re.compile(r"^no (Kafka|Redis|BigQuery) .*?(: )start one with `facestream up`.*$", re.DOTALL)


def explain(text: str) -> str:
    """The message that a service does not answer, with better advice than to start one if there is any."""
    said = _START_ONE.match(text)
    if said is None:
        return text
    from urllib.parse import urlsplit

    from sinks.redis.address import RedisAddress
    from streams.homes import away

    now = load_settings()
    service, what = said[1].lower(), text[: said.start(2)]
    address = {
        "kafka": f"//{now.kafka}",
        "redis": f"//{RedisAddress.of(now).where}",
        "bigquery": now.bigquery_rest or "",
    }[service]
    back = away.coming(now.home, service, urlsplit(address).netloc.rpartition("@")[2])
    if back is not None:
        return f"{what}: {back.what}; try again in some seconds (its log is {back.log})"
    if others := away.elsewhere(now.home, service):
        return f"{what}: {away.how_to_reach(others)}, and `facestream up` starts another one for this folder"
    return text
