"""Writes results to Redis and BigQuery. Knows results and client libraries, not Kafka."""
