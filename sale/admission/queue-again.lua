--[[
  Adds purchases to the queued set if they are missing, and takes their units from their gates, because a queued purchase
  always holds its units. give-back.lua is put in front of this script.

  KEYS[1] sorted set of queued purchases of a shard; KEYS[2..] the gates, so that Redis Cluster refuses the call as a whole
  ARGV[1] prefix of the shard's gate keys
  ARGV    for each purchase: order id, sale id, person id, quantity, lines as JSON (empty for a sale with one item),
          id of its code (empty: none)
  Returns for each purchase 1 when it was not queued, otherwise 0
]]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local replies = {}
for i = 2, #ARGV, 6 do
  local gate, buyer, quantity = ARGV[1] .. ARGV[i + 1], 'b:' .. ARGV[i + 2], tonumber(ARGV[i + 3])
  local added = redis.call('ZADD', KEYS[1], 'NX', now, ARGV[i])
  if added == 1 and redis.call('EXISTS', gate) == 1 then
    redis.call('HINCRBY', gate, 'left', -quantity)
    redis.call('HINCRBY', gate, buyer, quantity)
    redis.call('HINCRBY', gate, 'queued', 1)
    if ARGV[i + 5] ~= '' then redis.call('HINCRBY', gate, 'b:code:' .. ARGV[i + 5], 1) end
    for _, line in ipairs(linesIn(gate, ARGV[i + 4])) do
      redis.call('HINCRBY', gate, 'left:' .. line.itemId, -line.quantity)
      if redis.call('HEXISTS', gate, 'limit:' .. line.itemId) == 1 then
        redis.call('HINCRBY', gate, buyer .. ':' .. line.itemId, line.quantity)
      end
    end
  end
  replies[#replies + 1] = added
end
return replies
