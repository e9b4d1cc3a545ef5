-- Keep what beats said of themselves, for ARGV[1] milliseconds each, and note in the sorted set KEYS[1] when each host has.
-- Beat i has KEYS[i + 1] and three of ARGV: host, within, value.
-- One that is outdated is not kept (`is_outdated` in records/hosts.py, which says why).
-- Returns for each whether it was kept: 1, 0.
local kept = {}
for i = 1, #KEYS - 1 do
  local host, within, value = unpack(ARGV, 3 * i - 1, 3 * i + 1)
  local said = cjson.decode(value)
  local readable, before = pcall(cjson.decode, redis.call('GET', KEYS[i + 1]) or 'null')
  local outdated = false
  if readable and type(before) == 'table' and before.worker == said.worker
      and type(before.seq) == 'number' and type(said.seq) == 'number' then
    outdated = said.seq < before.seq and said.seen - before.seen < tonumber(within)
  end
  if not outdated then
    redis.call('SET', KEYS[i + 1], value, 'PX', ARGV[1])
    redis.call('ZADD', KEYS[1], string.format('%d', said.seen), host)
  end
  kept[i] = outdated and 0 or 1
end
return kept
