"""Makes clients for BigQuery: Google's, or a compatible server on this machine."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport

_CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # By default gRPC waits up to two minutes before it reconnects; here the sink's retry decides when to.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


@dataclass(frozen=True, slots=True)
class Address:
    """A dataset, and the address of its server.

    ``rest`` (a URL) and ``grpc`` (host:port, without TLS) name a BigQuery-compatible server that needs no credentials.
    If they are None, it is Google's BigQuery with Application Default Credentials.
    """

    project: str
    dataset: str
    rest: str | None = None
    grpc: str | None = None

    @property
    def dataset_id(self) -> str:
        """``project.dataset``, as the client library and SQL name it."""
        return f"{self.project}.{self.dataset}"

    def rest_client(self) -> bigquery.Client:
        """A client for datasets, tables and queries."""
        if self.rest is None:
            return bigquery.Client(project=self.project)
        return bigquery.Client(
            project=self.project,
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            client_options=ClientOptions(api_endpoint=self.rest),
        )

    def write_client(self) -> BigQueryWriteClient:
        """A client for the Storage Write API."""
        if self.grpc is None:
            return BigQueryWriteClient()  # type: ignore[no-untyped-call]
        channel = grpc.insecure_channel(self.grpc, options=_CHANNEL_OPTIONS)
        transport = BigQueryWriteGrpcTransport(channel=channel)
        return BigQueryWriteClient(transport=transport)  # type: ignore[no-untyped-call]
