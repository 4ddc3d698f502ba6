-- Who is seen together: by day (UTC) and camera, each pair of subjects whose visits overlap or lie less than 10 seconds apart.
--
-- day: The day on which the later of the two came (UTC).
-- subject_id: One of the two; the first by name, so that each pair is there once.
-- other_subject_id: The other one.
-- times: How many pairs of their visits overlap.
-- first_at: When the second of them came for the first time.
-- last_at: When both were there for the last time, or the second came just after the first one had gone.
SELECT
  DATE(GREATEST(one.began_at, other.began_at)) AS day,
  one.user_id,
  one.camera_id,
  one.subject_id,
  other.subject_id AS other_subject_id,
  COUNT(*) AS times,
  MIN(GREATEST(one.began_at, other.began_at)) AS first_at,
  MAX(GREATEST(one.began_at, other.began_at, LEAST(one.ended_at, other.ended_at))) AS last_at
FROM `$dataset.visits` AS one
JOIN `$dataset.visits` AS other
  ON one.user_id = other.user_id
  AND one.camera_id = other.camera_id
  AND one.subject_id < other.subject_id
  AND one.began_at < TIMESTAMP_ADD(other.ended_at, INTERVAL 10 SECOND)
  AND other.began_at < TIMESTAMP_ADD(one.ended_at, INTERVAL 10 SECOND)
GROUP BY day, one.user_id, one.camera_id, one.subject_id, other.subject_id
