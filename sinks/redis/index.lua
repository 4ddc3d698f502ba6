-- Note which answers are a user's, by which they are found when the user is to be erased.
-- KEYS: the index. ARGV: now, the oldest time that is kept, seconds to live, the mark, then the keys of answers.
-- What somebody else has put under this name is replaced. The answers that were noted before are not known any more:
-- the mark says so until the last of them has gone.
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
