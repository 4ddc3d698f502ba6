-- Note how far partitions were written, unless Redis has forgotten some of it.
-- KEYS: the marks of the partitions. ARGV: for each, what the mark was, and what it is to be.
-- Returns for each 1, or 0 if the mark was lower than that. A value that somebody else has put under a key counts as no mark.
local kept = {}
for at, name in ipairs(KEYS) do
  local before, offset = tonumber(ARGV[2 * at - 1]), tonumber(ARGV[2 * at])
  local mark = 0
  if redis.call('TYPE', name)['ok'] == 'string' then
    mark = tonumber(redis.call('GET', name)) or 0
  end
  kept[at] = 0
  if mark >= before then
    kept[at] = 1
    if mark < offset then
      redis.call('SET', name, ARGV[2 * at])
    end
  end
end
return kept
