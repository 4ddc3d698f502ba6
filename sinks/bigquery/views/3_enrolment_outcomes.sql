-- How many uploads were enrolled or refused, and why, by day of decision (UTC) and user.
--
-- day: The day of the decision (UTC).
-- uploads: Number of uploads.
-- subjects: Number of different subjects among them.
-- mean_quality: Mean overall quality of their faces; NULL where no face was found.
SELECT
  DATE(decided_at) AS day,
  user_id,
  outcome,
  refusal_reason,
  COUNT(*) AS uploads,
  COUNT(DISTINCT subject_id) AS subjects,
  AVG(quality.overall) AS mean_quality
FROM `$dataset.enrolment_results`
GROUP BY day, user_id, outcome, refusal_reason
