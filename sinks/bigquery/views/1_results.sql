-- The current answer to each frame, but for searches over all users, once: the newest correction by a replay, or else the first live answer. Same
-- columns as the table matches; replay_id is NULL where nothing was corrected, and latencies since
-- the producer's message are NULL where something was.
SELECT * REPLACE (
  IF(replay_id IS NULL, queued_latency_ms, NULL) AS queued_latency_ms,
  IF(replay_id IS NULL, decided_latency_ms, NULL) AS decided_latency_ms,
  IF(replay_id IS NULL, written_latency_ms, NULL) AS written_latency_ms
)
FROM `$dataset.matches`
WHERE (replay_id IS NULL OR corrects) AND mode != 'search'
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY event_id
  ORDER BY IF(replay_id IS NULL, 1, 0), IF(replay_id IS NULL, kafka_offset, -kafka_offset), written_at
) = 1
