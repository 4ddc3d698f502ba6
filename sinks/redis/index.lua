-- Index the answers of a user, so that they can be found when the user is to be erased.
-- KEYS: the index. ARGV: now, the time before which answers written by an earlier release are gone, seconds to live, the
-- mark, then the keys of answers.
-- The score of an answer is the time when it is gone, negative: answers may be kept for shorter now than before, and a
-- positive score, of an earlier release, is the time when it was written.
-- A value that somebody else has put under this key is replaced. The answers that were indexed before are then unknown:
-- the mark says so until the last of them has expired.
local now, ttl = tonumber(ARGV[1]), tonumber(ARGV[3])
local gone = string.format('%.6f', -(now + ttl))
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind ~= 'zset' and kind ~= 'none' then
  redis.call('UNLINK', KEYS[1])
  redis.call('ZADD', KEYS[1], gone, ARGV[4])
end
for at = 5, #ARGV do
  redis.call('ZADD', KEYS[1], gone, ARGV[at])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('%.6f', -now), ARGV[2])
if redis.call('TTL', KEYS[1]) < ttl then
  redis.call('EXPIRE', KEYS[1], ttl)
end
return 1
