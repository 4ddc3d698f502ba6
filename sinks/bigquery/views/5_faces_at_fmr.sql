-- The view faces, and what each decision would be if a face matched up to another false-match rate.
--
-- @highest_fmr FLOAT64: The highest false-match rate at which a face would still be a match, e.g. 1e-5.
-- decision_then: What the decision would be: match, unknown, no_match or refused.
-- subject_id_then: The subject who would be recognised, or NULL.
SELECT
  *,
  CASE
    WHEN decision = 'refused' THEN 'refused'
    WHEN nearest_fmr <= highest_fmr THEN 'match'
    WHEN mode = 'verify' THEN 'no_match'
    ELSE 'unknown'
  END AS decision_then,
  IF(decision <> 'refused' AND nearest_fmr <= highest_fmr, nearest_subject_id, NULL) AS subject_id_then
FROM `$dataset.faces`
