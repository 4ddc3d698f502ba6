-- Where a replay's answer to a frame differs from the live one: one row for each face with another decision (numbered, largest
-- first), or one for the frame if one of the answers has no face.
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
