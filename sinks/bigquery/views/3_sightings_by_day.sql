-- How often each subject was recognised, by day of capture (UTC) and camera, with the first and last time and the similarity.
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
