-- Percentiles of the live latency of frames, without searches, in milliseconds, by hour of decision (UTC): from the producer's message to the decision, from there
-- to the row's writing, and over all.
--
-- hour: The hour of the decision (UTC).
-- frames: Number of frames.
-- decided_p50_ms: Median of the time from the producer's message to the decision.
-- decided_p95_ms: 95th percentile of that time.
-- decided_p99_ms: 99th percentile of that time.
-- writing_p50_ms: Median of the time from the decision to the writing of the row.
-- writing_p95_ms: 95th percentile of that time.
-- writing_p99_ms: 99th percentile of that time.
-- written_p50_ms: Median of the whole time, from the producer's message to the writing of the row.
-- written_p95_ms: 95th percentile of that time.
-- written_p99_ms: 99th percentile of that time.
SELECT
  TIMESTAMP_TRUNC(matched_at, HOUR) AS hour,
  COUNT(*) AS frames,
  APPROX_QUANTILES(decided_latency_ms, 100)[OFFSET(50)] AS decided_p50_ms,
  APPROX_QUANTILES(decided_latency_ms, 100)[OFFSET(95)] AS decided_p95_ms,
  APPROX_QUANTILES(decided_latency_ms, 100)[OFFSET(99)] AS decided_p99_ms,
  APPROX_QUANTILES(written_latency_ms - decided_latency_ms, 100)[OFFSET(50)] AS writing_p50_ms,
  APPROX_QUANTILES(written_latency_ms - decided_latency_ms, 100)[OFFSET(95)] AS writing_p95_ms,
  APPROX_QUANTILES(written_latency_ms - decided_latency_ms, 100)[OFFSET(99)] AS writing_p99_ms,
  APPROX_QUANTILES(written_latency_ms, 100)[OFFSET(50)] AS written_p50_ms,
  APPROX_QUANTILES(written_latency_ms, 100)[OFFSET(95)] AS written_p95_ms,
  APPROX_QUANTILES(written_latency_ms, 100)[OFFSET(99)] AS written_p99_ms
FROM (
  SELECT *
  FROM `$dataset.matches`
  WHERE replay_id IS NULL AND mode != 'search'
  QUALIFY ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY kafka_offset, written_at) = 1
)
GROUP BY hour
