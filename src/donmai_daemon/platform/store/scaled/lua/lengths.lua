-- How many members each of the sets KEYS has.
local lengths = {}
for i, key in ipairs(KEYS) do
  lengths[i] = redis.call('SCARD', key)
end
return lengths
