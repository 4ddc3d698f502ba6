-- Each dead letter, once, and what became of it. The state is open, sending (a replay was about to send its message back; if it
-- was interrupted, it is not known whether it did), sent, with the replay and the time, or dismissed, with the reason.
--
-- state: open, sending, sent or dismissed.
-- replay_id: The replay that sent the message back, or was about to; NULL: nobody tried.
-- resolved_at: When the newest of its states was recorded; NULL: it is open.
SELECT
  letters.*,
  IFNULL(resolutions.state, 'open') AS state,
  resolutions.replay_id,
  resolutions.resolved_at,
  resolutions.sent_topic,
  resolutions.sent_partition,
  resolutions.sent_offset,
  resolutions.dismissed_because
FROM (
  SELECT *
  FROM `$dataset.dead_letters`
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (PARTITION BY letter_id ORDER BY kafka_offset, written_at) = 1
) AS letters
LEFT JOIN (
  SELECT *
  FROM `$dataset.resolutions`
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (PARTITION BY letter_id ORDER BY IF(state = 'sent', 0, IF(state = 'dismissed', 1, 2)), IF(state = 'dismissed', kafka_offset, -kafka_offset), written_at) = 1
) AS resolutions USING (letter_id)
