"""Where results go: Redis and BigQuery. Knows results and client libraries, not Kafka."""
