-- Index the answers of a user, so that they can be found when the user is to be erased.
-- KEYS: the index. ARGV: now, the oldest time that is kept, seconds to live, the mark, then the keys of answers.
-- A value that somebody else has put under this key is replaced. The answers that were indexed before are then unknown:
-- the mark says so until the last of them has expired.
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind ~= 'zset' and kind ~= 'none' then
  redis.call('UNLINK', KEYS[1])
  redis.call('ZADD', KEYS[1], ARGV[1], ARGV[4])
end
for at = 5, #ARGV do
  redis.call('ZADD', KEYS[1], ARGV[1], ARGV[at])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
