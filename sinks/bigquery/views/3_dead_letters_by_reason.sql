-- By day (UTC), stage, topic and reason: how many messages could not be processed, how many of them were
-- sent back or dismissed, and the newest message.
SELECT
  DATE(failed_at) AS day,
  stage,
  source_topic,
  reason,
  COUNT(*) AS letters,
  COUNTIF(state = 'sent') AS sent_back,
  MAX(failed_at) AS last_failed_at,
  ARRAY_AGG(message ORDER BY failed_at DESC LIMIT 1)[OFFSET(0)] AS last_message,
  COUNTIF(state = 'dismissed') AS dismissed
FROM `$dataset.dead_letter_states`
GROUP BY day, stage, source_topic, reason
