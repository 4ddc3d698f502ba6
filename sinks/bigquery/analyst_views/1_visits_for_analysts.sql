-- Each visit, without names: a subject recognised by one camera, again and again, without a pause of more than 5 minutes.
--
-- user_pseudonym: Pseudonym of the owner of the gallery.
-- camera_pseudonym: Pseudonym of the camera; another user's camera of the same name has another.
-- subject_pseudonym: Pseudonym of the subject, the same as in faces_for_analysts.
SELECT
  $user AS user_pseudonym,
  $camera AS camera_pseudonym,
  $subject AS subject_pseudonym,
  began_at,
  ended_at,
  sightings,
  best_similarity,
  mean_similarity
FROM `$dataset.visits` AS visits
CROSS JOIN $key
