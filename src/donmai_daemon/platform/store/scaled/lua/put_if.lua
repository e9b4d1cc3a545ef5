-- Replace the value of KEYS[1] by ARGV[2] for ARGV[3] milliseconds where it is still ARGV[1] ("": absent), and note in the
-- sorted set KEYS[2] that ARGV[4] has done so at ARGV[5]. 1: done.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[5], ARGV[4])
return 1
