-- How often each subject was recognised, by day of capture (UTC) and camera, with the first and last time and the similarity.
--
-- day: The day of capture (UTC).
-- sightings: In how many faces the subject was recognised.
-- first_seen_at: When the first of them was captured.
-- last_seen_at: When the last of them was captured.
-- best_similarity: Highest similarity among them.
-- mean_similarity: Their mean similarity.
SELECT
  DATE(captured_at) AS day,
  user_id,
  subject_id,
  camera_id,
  COUNT(*) AS sightings,
  MIN(captured_at) AS first_seen_at,
  MAX(captured_at) AS last_seen_at,
  MAX(nearest_similarity) AS best_similarity,
  AVG(nearest_similarity) AS mean_similarity
FROM `$dataset.faces`
WHERE decision = 'match'
GROUP BY day, user_id, subject_id, camera_id
