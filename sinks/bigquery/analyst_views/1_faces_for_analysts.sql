-- One row for each face of each live answer, without names: its decision, its quality, and how near the nearest candidate is.
--
-- event_pseudonym: Pseudonym of the event id of the frame.
-- user_pseudonym: Pseudonym of the owner of the gallery.
-- camera_pseudonym: Pseudonym of the camera; another user's camera of the same name has another.
-- subject_pseudonym: Pseudonym of the subject recognised; NULL if there is none.
SELECT
  $event AS event_pseudonym,
  $user AS user_pseudonym,
  $camera AS camera_pseudonym,
  $subject AS subject_pseudonym,
  captured_at,
  matched_at,
  mode,
  face_number,
  decision,
  reason,
  nearest_similarity,
  nearest_distance,
  nearest_fmr,
  ambiguous,
  quality,
  model_version,
  threshold_set
FROM `$dataset.faces` AS faces
CROSS JOIN $key
