"""Run ``local-bigquery`` beside other work: run by the Python of ``.venv-bigquery``, configured by its environment."""

import threading
from collections import defaultdict
from typing import Any

import uvicorn  # type: ignore[import-not-found,unused-ignore]
from local_bigquery.engine import database  # type: ignore[import-not-found]
from local_bigquery.grpc import server, write  # type: ignore[import-not-found]
from local_bigquery.settings import settings  # type: ignore[import-not-found]


def append_one_at_a_time() -> None:
    """Let an append check its offset and land in one step, as in BigQuery.

    Otherwise one that is sent again on a new connection, while it is still under way on the old one, lands twice.
    """
    append = write._append
    locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def append_alone(stream: Any, *rest: Any) -> Any:
        with locks[stream.name]:
            return append(stream, *rest)

    write._append = append_alone


def main() -> None:
    """Serve until SIGTERM, with less memory than DuckDB's default of 80 % of the machine, and no log line a request."""
    append_one_at_a_time()
    database.connection().execute("SET memory_limit = '1GB'")
    storage, _ = server.start(settings.bigquery_host, settings.grpc_port)
    uvicorn.run("local_bigquery:app", host=settings.bigquery_host, port=settings.bigquery_port, access_log=False)
    storage.stop(None)


if __name__ == "__main__":
    main()
