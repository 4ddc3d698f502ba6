-- Show one message about a sighting to those who watch its user, once however often it is written.
-- KEYS: marker and stream. ARGV: marker's seconds to live, stream length, channel, message as JSON,
--       then names and values for the stream entry.
if redis.call('TYPE', KEYS[1])['ok'] == 'string' then
  return 0
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'json', ARGV[4], unpack(ARGV, 5))
redis.call('PUBLISH', ARGV[3], ARGV[4])
-- Last, so that a message is marked only when all the rest was done.
redis.call('SET', KEYS[1], '1', 'EX', ARGV[1])
return 1
