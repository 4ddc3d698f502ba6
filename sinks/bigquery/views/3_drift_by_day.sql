-- How each camera and model version compared with its reference, by day of comparison (UTC): the means over the day's reports,
-- the largest effect of all measures but the embedding's, and what alarmed, as text.
--
-- day: The day of the comparison (UTC).
-- reports: Number of comparisons on that day.
-- reports_with_alarm: How many of them raised an alarm.
-- alarms: The measures that raised an alarm, as a text with commas; NULL: none.
-- frames_in_all: Frames of the camera and model version so far.
-- quality: Mean of the overall quality of the faces.
-- sharpness: Mean sharpness of the faces.
-- brightness: Mean brightness of the faces.
-- blockiness: Mean blockiness of the faces, which a poor compression raises.
-- unknown_rate: Mean share of unknown faces.
-- refused_rate: Mean share of refused faces.
-- margin: Mean margin of the matches: 1 the same picture, 0 at the threshold.
-- embedding_auc: Largest effect of the vectors: 0.5 if they are as in the reference, 1 if they can be told apart from it.
-- largest_effect: Largest effect of the other measures.
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
