-- Show one answer to those who watch its user, once however often it is written.
-- KEYS: marker, live stream, and the latest match of the camera or the hash of subjects.
-- ARGV: marker's seconds to live, stream length, channel, kind, event as JSON,
--       match: effective time and sequence / enrolment: subject (empty if refused) and templates,
--       then names and values for the stream entry.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end

local kind, json = ARGV[4], ARGV[5]
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'kind', kind, 'json', json, unpack(ARGV, 8))

if kind == 'enrolment' then
  if ARGV[6] ~= '' then
    redis.call('HSET', KEYS[3], ARGV[6], ARGV[7])
  end
else
  -- A camera's numbers begin anew when it restarts, so time comes first; and its clock may run ahead and be
  -- mended, so no picture counts as later than its arrival.
  local newer = true
  local known, old = pcall(cjson.decode, redis.call('GET', KEYS[3]) or '')
  if known and type(old) == 'table' then
    local time = old.captured_at
    if old.timings.received_at < time then
      time = old.timings.received_at
    end
    newer = ARGV[6] > time or (ARGV[6] == time and tonumber(ARGV[7]) > old.sequence)
  end
  if newer then
    redis.call('SET', KEYS[3], json)
  end
end

redis.call('PUBLISH', ARGV[3], '{"kind": "' .. kind .. '", ' .. string.sub(json, 2))
-- Last, so that an answer is marked only when all the rest was done.
redis.call('SET', KEYS[1], '1', 'EX', ARGV[1])
return 1
