"""Run ``local-bigquery`` beside other work: run by the Python of ``.venv-bigquery``, configured by its environment."""

import uvicorn  # type: ignore[import-not-found,unused-ignore]
from local_bigquery.engine import database  # type: ignore[import-not-found]
from local_bigquery.grpc import server  # type: ignore[import-not-found]
from local_bigquery.settings import settings  # type: ignore[import-not-found]


def main() -> None:
    """Serve until SIGTERM, with less memory than DuckDB's default of 80 % of the machine, and no log line a request."""
    database.connection().execute("SET memory_limit = '1GB'")
    storage, _ = server.start(settings.bigquery_host, settings.grpc_port)
    uvicorn.run("local_bigquery:app", host=settings.bigquery_host, port=settings.bigquery_port, access_log=False)
    storage.stop(None)


if __name__ == "__main__":
    main()
