"""Pictures to faces to vectors, and the gallery. Knows nothing of Kafka."""
