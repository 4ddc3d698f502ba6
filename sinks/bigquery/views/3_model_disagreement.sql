-- How often shadow and canary versions disagree with the version that answers, by day of capture (UTC), camera and versions.
--
-- day: The day of capture (UTC).
-- model_version: The version that answers.
-- shadow_version: The version that only decides.
-- frames: Number of frames that both decided.
-- faces: Number of faces in them.
-- disagreement: Share of the faces about which the versions decide differently.
-- unknown_rate: Share of the faces that the answering version does not know.
-- shadow_unknown_rate: Share of the faces that the other version does not know.
-- margin: Mean margin of the answering version's matches: 1 the same picture, 0 at the threshold.
-- shadow_margin: Mean margin of the other version's matches.
SELECT
  DATE(captured_at) AS day,
  user_id,
  camera_id,
  model_version,
  shadow_version,
  COUNT(DISTINCT event_id) AS frames,
  COUNT(*) AS faces,
  SAFE_DIVIDE(
    COUNTIF(
      face.decision != face.shadow_decision OR IFNULL(face.subject_id, '') != IFNULL(face.shadow_subject_id, '')
    ),
    COUNT(*)
  ) AS disagreement,
  SAFE_DIVIDE(COUNTIF(face.decision = 'unknown'), COUNT(*)) AS unknown_rate,
  SAFE_DIVIDE(COUNTIF(face.shadow_decision = 'unknown'), COUNT(*)) AS shadow_unknown_rate,
  AVG(IF(face.decision = 'match', face.margin, NULL)) AS margin,
  AVG(IF(face.shadow_decision = 'match', face.shadow_margin, NULL)) AS shadow_margin
FROM (
  SELECT *
  FROM `$dataset.comparisons`
  QUALIFY ROW_NUMBER() OVER (PARTITION BY comparison_id ORDER BY kafka_offset, written_at) = 1
) AS compared, UNNEST(faces) AS face
GROUP BY day, user_id, camera_id, model_version, shadow_version
