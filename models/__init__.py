"""From pictures to faces, vectors and decisions; also evaluation and training. Knows nothing of Kafka."""
