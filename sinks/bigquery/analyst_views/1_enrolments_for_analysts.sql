-- Each upload's current outcome, without names.
--
-- event_pseudonym: Pseudonym of the event id of the upload.
-- user_pseudonym: Pseudonym of the owner of the gallery.
-- subject_pseudonym: Pseudonym of the subject, the same as in faces_for_analysts.
SELECT
  $event AS event_pseudonym,
  $user AS user_pseudonym,
  $subject AS subject_pseudonym,
  created_at,
  decided_at,
  outcome,
  refusal_reason,
  quality,
  templates,
  model_version
FROM `$dataset.enrolment_results` AS enrolment_results
CROSS JOIN $key
