-- Replace an answer by a correction, unless the key holds a newer correction, or one of the same replay.
-- KEYS: where the answer is kept. ARGV: seconds to live (0: as it is), the correction as JSON, its replay, when it was
--       decided; and for the latest match of a camera: the event id, which must be that of the match in the key.
local text = redis.call('GET', KEYS[1])
local known, old = pcall(cjson.decode, text or '')
if not known or type(old) ~= 'table' then
  old = nil
end

-- Under an event id that two users have sent is the answer of the one who came first.
if old and old.user_id and old.user_id ~= cjson.decode(ARGV[2]).user_id then
  return 0
end
if ARGV[5] and (not old or old.event_id ~= ARGV[5]) then
  return 0
end
if old and old.corrects then
  if old.replay_id == ARGV[3] or tostring(old.matched_at or old.decided_at) > ARGV[4] then
    return 0
  end
end

if ARGV[1] == '0' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[1])
end
return 1
