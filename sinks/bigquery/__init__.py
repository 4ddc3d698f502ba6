"""Writes results to BigQuery: tables and views for analysts, with each event once."""

from sinks.bigquery.apply import apply
from sinks.bigquery.client import Address
from sinks.bigquery.query import run_query
from sinks.bigquery.writer import BigQuerySink

__all__ = ["Address", "BigQuerySink", "apply", "run_query"]
