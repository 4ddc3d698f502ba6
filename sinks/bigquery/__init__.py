"""Writes results to BigQuery: tables and views for analysts, with each event once."""

from sinks.bigquery.apply import apply
from sinks.bigquery.client import Address
from sinks.bigquery.pseudonyms import apply_for_analysts
from sinks.bigquery.query import run_query
from sinks.bigquery.writer import BigQuerySink

__all__ = ["Address", "BigQuerySink", "apply", "apply_for_analysts", "run_query"]
