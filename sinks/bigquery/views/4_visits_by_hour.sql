-- Visits by the hour in which they began (UTC), and camera.
--
-- hour: The hour (UTC).
-- visits: Number of visits that began in it.
-- subjects: Number of different subjects among them.
-- sightings: In how many faces they were recognised during these visits.
-- mean_visit_s: Mean duration of the visits in seconds, from the first to the last sighting.
SELECT
  TIMESTAMP_TRUNC(began_at, HOUR) AS hour,
  user_id,
  camera_id,
  COUNT(*) AS visits,
  COUNT(DISTINCT subject_id) AS subjects,
  SUM(sightings) AS sightings,
  AVG(TIMESTAMP_DIFF(ended_at, began_at, MILLISECOND)) / 1000 AS mean_visit_s
FROM `$dataset.visits`
GROUP BY hour, user_id, camera_id
