-- How many uploads were enrolled or refused, and why, by day of decision (UTC) and user.
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
