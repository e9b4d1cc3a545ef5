-- Run the commands of ARGV[2], a JSON list, where the revision of the hash KEYS[1] is still ARGV[1] ("": absent). 1: done.
-- Beside the commands of Redis there is MOVE <from> <to> <field>, of a hash.
if (redis.call('HGET', KEYS[1], 'revision') or '') ~= ARGV[1] then
  return 0
end
for _, command in ipairs(cjson.decode(ARGV[2])) do
  if command[1] == 'MOVE' then
    local value = redis.call('HGET', command[2], command[4])
    if value then
      redis.call('HSET', command[3], command[4], value)
      redis.call('HDEL', command[2], command[4])
    end
  else
    redis.call(unpack(command))
  end
end
redis.call('HINCRBY', KEYS[1], 'revision', 1)
return 1
