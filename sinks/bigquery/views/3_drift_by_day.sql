-- How each camera and model version compared with its reference, by day of comparison (UTC): the means over the day's reports,
-- the largest effect of all measures but the embedding's, and what alarmed, as text.
SELECT
  DATE(reported_at) AS day,
  user_id,
  camera_id,
  model_version,
  COUNT(DISTINCT report_id) AS reports,
  COUNT(DISTINCT IF(reports.alarm, report_id, NULL)) AS reports_with_alarm,
  STRING_AGG(DISTINCT IF(measure.alarm, measure.name, NULL), ', ') AS alarms,
  MAX(frames_in_all) AS frames_in_all,
  AVG(IF(measure.name = 'quality', measure.current, NULL)) AS quality,
  AVG(IF(measure.name = 'sharpness', measure.current, NULL)) AS sharpness,
  AVG(IF(measure.name = 'brightness', measure.current, NULL)) AS brightness,
  AVG(IF(measure.name = 'blockiness', measure.current, NULL)) AS blockiness,
  AVG(IF(measure.name = 'unknown_rate', measure.current, NULL)) AS unknown_rate,
  AVG(IF(measure.name = 'refused_rate', measure.current, NULL)) AS refused_rate,
  AVG(IF(measure.name = 'margin', measure.current, NULL)) AS margin,
  MAX(IF(measure.name = 'embedding', measure.effect, NULL)) AS embedding_auc,
  MAX(IF(measure.name != 'embedding', measure.effect, NULL)) AS largest_effect
FROM (
  SELECT *
  FROM `$dataset.drift`
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (PARTITION BY report_id ORDER BY kafka_offset, written_at) = 1
) AS reports
LEFT JOIN UNNEST(measures) AS measure
GROUP BY day, user_id, camera_id, model_version
