-- One row for each face of each live answer: its decision, the nearest candidate and its quality.
--
-- face_number: Which face of the frame, from 0, the largest; feedback names a face by it.
-- nearest_subject_id: The enrolled subject who looks most like the face; NULL: there is none.
-- nearest_similarity: Similarity to that subject, from 0 to 1, which is the same picture.
-- nearest_distance: Distance of the vectors of the face and of that subject's nearest template.
-- nearest_fmr: False-match rate at that distance: how often two strangers look at least as alike.
-- ambiguous: Whether the second candidate would have been recognised as well, almost as surely or more surely.
SELECT
  results.event_id,
  results.user_id,
  results.camera_id,
  results.captured_at,
  results.matched_at,
  results.mode,
  face_number,
  face.decision,
  face.subject_id,
  face.reason,
  face.candidates[SAFE_OFFSET(0)].subject_id AS nearest_subject_id,
  face.candidates[SAFE_OFFSET(0)].similarity AS nearest_similarity,
  face.candidates[SAFE_OFFSET(0)].distance AS nearest_distance,
  face.candidates[SAFE_OFFSET(0)].fmr AS nearest_fmr,
  IFNULL(face.ambiguous, FALSE) AS ambiguous,
  face.box,
  face.quality,
  results.model_version,
  results.threshold_set
FROM `$dataset.results` AS results
CROSS JOIN UNNEST(results.faces) AS face WITH OFFSET AS face_number
