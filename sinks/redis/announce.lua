-- Show one answer to those who watch its user, once however often it is written.
-- KEYS: marker, live stream, and the latest match of the camera or the hash of subjects.
-- ARGV: marker's seconds to live, stream length, channel, kind, event as JSON,
--       match: effective time and sequence / enrolment: subject (empty if refused) and templates,
--       then names and values for the stream entry.
if redis.call('TYPE', KEYS[1])['ok'] == 'string' then
  return 0
end

local kind, json = ARGV[4], ARGV[5]
-- This is checked before anything is written: if the key has another type, nothing of the answer is shown.
local latest
if kind == 'enrolment' then
  redis.call('HLEN', KEYS[3])
else
  latest = redis.call('GET', KEYS[3])
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'kind', kind, 'json', json, unpack(ARGV, 8))

if kind == 'enrolment' then
  if ARGV[6] ~= '' then
    redis.call('HSET', KEYS[3], ARGV[6], ARGV[7])
  end
else
  -- A camera's numbers begin anew when it restarts, so time comes first; and its clock may run ahead and be
  -- mended, so no picture counts as later than its arrival.
  local newer = true
  local known, time, sequence = pcall(function()
    local old = cjson.decode(latest)
    local time = old.captured_at
    if old.timings.received_at < time then
      time = old.timings.received_at
    end
    return time .. '', old.sequence + 0
  end)
  -- What is no match is replaced.
  if known then
    newer = ARGV[6] > time or (ARGV[6] == time and tonumber(ARGV[7]) > sequence)
  end
  if newer then
    redis.call('SET', KEYS[3], json)
  end
end

redis.call('PUBLISH', ARGV[3], '{"kind": "' .. kind .. '", ' .. string.sub(json, 2))
-- Last, so that an answer is marked only when all the rest was done.
redis.call('SET', KEYS[1], '1', 'EX', ARGV[1])
return 1
