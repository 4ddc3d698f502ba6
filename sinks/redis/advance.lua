-- Note how far a partition was written, unless Redis has forgotten some of it.
-- KEYS: the partition's mark. ARGV: what the mark was, and what it is to be.
-- A value that somebody else has put under this key counts as no mark.
local mark = 0
if redis.call('TYPE', KEYS[1])['ok'] == 'string' then
  mark = tonumber(redis.call('GET', KEYS[1])) or 0
end
if mark < tonumber(ARGV[1]) then
  return 0
end
if mark < tonumber(ARGV[2]) then
  redis.call('SET', KEYS[1], ARGV[2])
end
return 1
