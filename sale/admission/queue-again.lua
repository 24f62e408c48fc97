--[[
  Adds purchases to the queued set if they are missing, and takes their units from their gates, because a queued purchase
  always holds its units.

  KEYS[1] sorted set of queued purchases
  ARGV[1] prefix of gate keys
  ARGV    for each purchase: order id, sale id, person id, quantity
  Returns for each purchase 1 when it was not queued, otherwise 0
]]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local replies = {}
for i = 2, #ARGV, 4 do
  local gate, buyer, quantity = ARGV[1] .. ARGV[i + 1], 'b:' .. ARGV[i + 2], tonumber(ARGV[i + 3])
  local added = redis.call('ZADD', KEYS[1], 'NX', now, ARGV[i])
  if added == 1 and redis.call('EXISTS', gate) == 1 then
    redis.call('HINCRBY', gate, 'left', -quantity)
    redis.call('HINCRBY', gate, buyer, quantity)
    redis.call('HINCRBY', gate, 'queued', 1)
  end
  replies[#replies + 1] = added
end
return replies
