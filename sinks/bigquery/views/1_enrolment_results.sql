-- Each upload's live outcome once, the first that was written. Same columns as the table enrolments, without replays.
SELECT *
FROM `$dataset.enrolments`
WHERE replay_id IS NULL
QUALIFY ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY kafka_offset, written_at) = 1
