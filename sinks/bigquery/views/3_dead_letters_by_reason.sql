-- How many messages could not be processed, by day (UTC), stage, topic and reason, with the newest message.
SELECT
  DATE(failed_at) AS day,
  stage,
  source_topic,
  reason,
  COUNT(DISTINCT letter_id) AS letters,
  MAX(failed_at) AS last_failed_at,
  ARRAY_AGG(message ORDER BY failed_at DESC LIMIT 1)[OFFSET(0)] AS last_message
FROM `$dataset.dead_letters`
GROUP BY day, stage, source_topic, reason
