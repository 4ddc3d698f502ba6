-- Each frame's live answer once, the first that was written. Same columns as the table matches, without replays.
SELECT *
FROM `$dataset.matches`
WHERE replay_id IS NULL
QUALIFY ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY kafka_offset, written_at) = 1
