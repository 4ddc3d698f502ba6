-- By day (UTC), stage, topic and reason: how many messages could not be processed, how many of them were
-- sent back or dismissed, and the newest message.
--
-- day: The day (UTC) on which the messages failed.
-- letters: Number of messages that could not be processed.
-- sent_back: How many of them a replay has sent back.
-- last_failed_at: When the newest of them failed.
-- last_message: What was said about the newest of them.
-- dismissed: How many of them were dismissed.
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
