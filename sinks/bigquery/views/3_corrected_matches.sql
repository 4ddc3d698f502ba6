-- Each face with feedback, by the last statement about it: who it was recognised as, whether that was right, and who it is
-- (NULL: it is only known who it is not).
--
-- matched_subject_id: The subject as whom the face was recognised, or NULL.
-- statement: What was said of the face: that it is said_subject_id (is), or not (is_not).
-- said_subject_id: The subject of the statement.
-- was_right: Whether the answer agrees with the statement.
-- true_subject_id: Who it is; NULL: it is only known who it is not.
SELECT
  faces.event_id,
  faces.user_id,
  faces.camera_id,
  faces.captured_at,
  faces.face_number,
  faces.decision,
  faces.subject_id AS matched_subject_id,
  said.statement,
  said.subject_id AS said_subject_id,
  IF(said.statement = 'is', IFNULL(faces.subject_id, '') = said.subject_id, IFNULL(faces.subject_id, '') != said.subject_id) AS was_right,
  IF(said.statement = 'is', said.subject_id, NULL) AS true_subject_id,
  faces.nearest_subject_id,
  faces.nearest_similarity,
  faces.nearest_fmr,
  faces.quality,
  faces.model_version,
  faces.threshold_set,
  said.feedback_id,
  said.given_at
FROM `$dataset.faces` AS faces
JOIN (
  SELECT *
  FROM `$dataset.feedback`
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (PARTITION BY event_id, face_number ORDER BY kafka_offset DESC, written_at) = 1
) AS said ON said.event_id = faces.event_id AND said.face_number = faces.face_number
