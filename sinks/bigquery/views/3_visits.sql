-- Each visit: a subject recognised by one camera, again and again, without a pause of more than 5 minutes.
--
-- began_at: When the subject was first recognised.
-- ended_at: When the subject was last recognised.
-- sightings: In how many faces the subject was recognised meanwhile.
-- best_similarity: Highest similarity among them.
-- mean_similarity: Their mean similarity.
SELECT
  user_id,
  subject_id,
  camera_id,
  MIN(captured_at) AS began_at,
  MAX(captured_at) AS ended_at,
  COUNT(*) AS sightings,
  MAX(nearest_similarity) AS best_similarity,
  AVG(nearest_similarity) AS mean_similarity
FROM (
  SELECT
    *,
    SUM(begins) OVER (PARTITION BY user_id, subject_id, camera_id ORDER BY captured_at, event_id, face_number) AS visit
  FROM (
    SELECT
      *,
      IF(
        TIMESTAMP_DIFF(captured_at, LAG(captured_at) OVER (
          PARTITION BY user_id, subject_id, camera_id ORDER BY captured_at, event_id, face_number
        ), SECOND) <= 300,
        0,
        1
      ) AS begins
    FROM `$dataset.faces`
    WHERE decision = 'match'
  )
)
GROUP BY user_id, subject_id, camera_id, visit
