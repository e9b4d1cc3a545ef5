-- Take what a host has room for from its organisation's queues. ARGV[1] is the request as JSON; the answer is a flat list:
-- session id, claim id, payload, and again.
local request = cjson.decode(ARGV[1])
local room = math.min(#request.claims, request.capacity - redis.call('SCARD', request.leased))
local projects = request.projects
if projects == cjson.null then
  projects = redis.call('SMEMBERS', request.known)
end

local function first_queue()
  local best, best_score, best_member
  for _, project in ipairs(projects) do
    local head = redis.call('ZRANGE', request.queues .. project, 0, 0, 'WITHSCORES')
    if head[1] then
      local score = tonumber(head[2])
      if not best or score < best_score or (score == best_score and head[1] < best_member) then
        best, best_score, best_member = request.queues .. project, score, head[1]
      end
    elseif request.projects == cjson.null then
      redis.call('SREM', request.known, project)
    end
  end
  return best
end

local taken, count, bytes, passed_over = {}, 0, 0, {}
while count < room do
  local queue = first_queue()
  if not queue then
    break
  end
  local item = redis.call('ZPOPMIN', queue)
  local id = string.match(item[1], ':(.*)$')
  local hidden = redis.call('HGET', 'work:hidden:' .. id, request.host)
  local payload = redis.call('HGET', 'work:items', id)
  if hidden and tonumber(hidden) > tonumber(request.at) then
    passed_over[#passed_over + 1] = { queue, item[2], item[1] }
  elseif count > 0 and bytes + #payload > request.most_bytes then
    passed_over[#passed_over + 1] = { queue, item[2], item[1] }
    break
  else
    count, bytes = count + 1, bytes + #payload
    local session, claim = 'work:session:' .. id, request.claims[count]
    redis.call('HSET', session, 'queued', '0', 'worker_id', request.worker, 'host_id', request.host,
      'claim_id', claim, 'lease_until', request.lease_until)
    redis.call('HINCRBY', session, 'revision', 1)
    redis.call('HSET', 'work:claimed', id, payload)
    redis.call('HDEL', 'work:items', id)
    redis.call('SREM', request.waiting, id)
    redis.call('SADD', request.leased, id)
    redis.call('ZADD', 'work:leases', request.lease_until, id)
    redis.call('RPUSH', 'work:trail:' .. id, request.trail)
    taken[#taken + 1] = id
    taken[#taken + 1] = claim
    taken[#taken + 1] = payload
  end
end
for _, item in ipairs(passed_over) do
  redis.call('ZADD', item[1], item[2], item[3])
  redis.call('SADD', request.known, string.sub(item[1], #request.queues + 1))
end
return taken
