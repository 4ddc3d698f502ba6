-- Faces by decision, and the rate of unknown faces among those not refused, by day of capture (UTC) and camera.
--
-- day: The day of capture (UTC).
-- faces: Number of faces.
-- matched: How many of them were recognised.
-- unknown: How many are nobody whom the user has enrolled.
-- not_matched: How many are not the person claimed (verify).
-- refused: How many were too poor for a decision.
-- unknown_rate: Share of the unknown faces among those not refused.
SELECT
  DATE(captured_at) AS day,
  user_id,
  camera_id,
  COUNT(*) AS faces,
  COUNTIF(decision = 'match') AS matched,
  COUNTIF(decision = 'unknown') AS unknown,
  COUNTIF(decision = 'no_match') AS not_matched,
  COUNTIF(decision = 'refused') AS refused,
  SAFE_DIVIDE(COUNTIF(decision = 'unknown'), COUNTIF(decision != 'refused')) AS unknown_rate
FROM `$dataset.faces`
GROUP BY day, user_id, camera_id
