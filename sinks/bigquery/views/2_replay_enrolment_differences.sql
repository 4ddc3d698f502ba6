-- Where a replay's outcome of an upload differs from the live one.
--
-- live_outcome: What was decided live: enrolled or refused.
-- live_reason: Why the upload was refused live, or NULL.
-- replay_outcome: What the replay decided: enrolled or refused.
-- replay_reason: Why the upload was refused in the replay, or NULL.
-- live_decided_at: When it was decided live.
-- replay_decided_at: When the replay decided it.
-- live_model_version: The model version that decided live.
-- replay_model_version: The model version of the replay.
SELECT
  replayed.replay_id,
  replayed.event_id,
  replayed.user_id,
  replayed.subject_id,
  replayed.created_at,
  live.outcome AS live_outcome,
  live.refusal_reason AS live_reason,
  replayed.outcome AS replay_outcome,
  replayed.refusal_reason AS replay_reason,
  replayed.corrects,
  live.decided_at AS live_decided_at,
  replayed.decided_at AS replay_decided_at,
  live.model_version AS live_model_version,
  replayed.model_version AS replay_model_version
FROM `$dataset.enrolments` AS replayed
JOIN (
  SELECT *
  FROM `$dataset.enrolments`
  WHERE replay_id IS NULL
  QUALIFY ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY kafka_offset, written_at) = 1
) AS live USING (event_id)
WHERE replayed.replay_id IS NOT NULL
  AND (
    live.outcome != replayed.outcome OR IFNULL(live.refusal_reason, '') != IFNULL(replayed.refusal_reason, '')
  )
