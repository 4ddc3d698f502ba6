"""A client of BigQuery for analysts: Google's, or the server that ``facestream up`` runs. Needs an extra."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.client.errors import InvalidSettings, MissingExtra
from streams.client.settings import ClientSettings

if TYPE_CHECKING:
    from google.cloud.bigquery import Client


def bigquery_client(settings: ClientSettings | None = None) -> Client:
    """A ``google.cloud.bigquery.Client`` in whose queries tables and views need no dataset.

    With ``bigquery_rest``, which ``facestream up`` sets for its folder, it asks that server, without credentials.
    Otherwise it asks Google's BigQuery, with the Application Default Credentials.

    Args:
        settings: which project, dataset and server; default: the process's environment.

    Raises:
        MissingExtra: the package ``google-cloud-bigquery`` is not installed.
        InvalidSettings: no server is set, and there are no credentials for Google's.

    Example:
        >>> from streams.client import bigquery_client
        >>> client = bigquery_client()                                                  # doctest: +SKIP
        >>> client.query_and_wait("SELECT * FROM sightings_by_day").to_dataframe()      # doctest: +SKIP
    """
    try:
        from google.api_core.client_options import ClientOptions
        from google.auth.credentials import AnonymousCredentials
        from google.auth.exceptions import DefaultCredentialsError
        from google.cloud import bigquery
    except ImportError as error:
        raise MissingExtra(
            "BigQuery is asked with the package google-cloud-bigquery, which is not installed: "
            "install facestream-client[analysis]"
        ) from error
    now = settings or ClientSettings.from_environment()
    options: dict[str, Any] = {"project": now.bigquery_project}
    kind = bigquery.Client
    if now.bigquery_rest:
        kind = _local_kind()
        options["credentials"] = AnonymousCredentials()  # type: ignore[no-untyped-call]
        options["client_options"] = ClientOptions(api_endpoint=now.bigquery_rest)
    try:
        client = kind(**options)
    except DefaultCredentialsError as error:
        raise InvalidSettings(
            "no BigQuery server is set, and there are no credentials for Google's: start `facestream up` in this "
            "folder or name its folder in FACESTREAM_HOME; or set FACESTREAM_BIGQUERY_PROJECT and run `gcloud auth "
            "application-default login`"
        ) from error
    dataset = f"{client.project}.{now.bigquery_dataset}"
    client.default_query_job_config = bigquery.QueryJobConfig(default_dataset=dataset)
    return client


def _local_kind() -> type[Client]:
    """The class of clients of a local server, which fetch long results by REST too, not from Google's Storage API."""
    from google.cloud import bigquery

    class LocalClient(bigquery.Client):
        def _ensure_bqstorage_client(self, *_: Any, **__: Any) -> None:
            return None

    return LocalClient
