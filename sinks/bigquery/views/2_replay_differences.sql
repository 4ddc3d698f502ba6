-- Where a replay's answer to a frame differs from the live one: one row for each face with another decision (numbered, largest
-- first), or one for the frame if one of the answers has no face.
--
-- face_number: Which face of the frame, from 0, the largest.
-- live_decision: What was answered live: match, unknown, no_match, refused, or no_face.
-- live_subject_id: The subject whom the live answer recognised, or NULL.
-- live_reason: Why the face or the whole frame was refused live, or NULL.
-- replay_decision: What the replay decided: match, unknown, no_match, refused, or no_face.
-- replay_subject_id: The subject whom the replay recognised, or NULL.
-- replay_reason: Why the face or the whole frame was refused in the replay, or NULL.
-- live_matched_at: When the live answer was decided.
-- replay_matched_at: When the replay's answer was decided.
-- live_model_version: The model version that answered live.
-- replay_model_version: The model version of the replay.
-- live_threshold_set: The threshold set of the live answer.
-- replay_threshold_set: The threshold set of the replay.
SELECT
  replayed.replay_id,
  replayed.event_id,
  replayed.user_id,
  replayed.camera_id,
  replayed.captured_at,
  face_ordinal - 1 AS face_number,
  IFNULL(live.faces[SAFE_ORDINAL(face_ordinal)].decision, 'no_face') AS live_decision,
  live.faces[SAFE_ORDINAL(face_ordinal)].subject_id AS live_subject_id,
  IFNULL(live.faces[SAFE_ORDINAL(face_ordinal)].reason, live.refusal_reason) AS live_reason,
  IFNULL(replayed.faces[SAFE_ORDINAL(face_ordinal)].decision, 'no_face') AS replay_decision,
  replayed.faces[SAFE_ORDINAL(face_ordinal)].subject_id AS replay_subject_id,
  IFNULL(replayed.faces[SAFE_ORDINAL(face_ordinal)].reason, replayed.refusal_reason) AS replay_reason,
  replayed.corrects,
  live.matched_at AS live_matched_at,
  replayed.matched_at AS replay_matched_at,
  live.model_version AS live_model_version,
  replayed.model_version AS replay_model_version,
  live.threshold_set AS live_threshold_set,
  replayed.threshold_set AS replay_threshold_set
FROM `$dataset.matches` AS replayed
JOIN (
  SELECT *
  FROM `$dataset.matches`
  WHERE replay_id IS NULL
  QUALIFY ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY kafka_offset, written_at) = 1
) AS live USING (event_id)
CROSS JOIN UNNEST(
  GENERATE_ARRAY(1, GREATEST(IFNULL(ARRAY_LENGTH(replayed.faces), 0), IFNULL(ARRAY_LENGTH(live.faces), 0), 1))
) AS face_ordinal
WHERE replayed.replay_id IS NOT NULL
  AND (
    IFNULL(live.faces[SAFE_ORDINAL(face_ordinal)].decision, 'no_face')
      != IFNULL(replayed.faces[SAFE_ORDINAL(face_ordinal)].decision, 'no_face')
    OR IFNULL(live.faces[SAFE_ORDINAL(face_ordinal)].subject_id, '')
      != IFNULL(replayed.faces[SAFE_ORDINAL(face_ordinal)].subject_id, '')
    OR IFNULL(live.refusal_reason, '') != IFNULL(replayed.refusal_reason, '')
  )
