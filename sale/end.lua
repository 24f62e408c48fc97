--[[
  Takes purchases that have their orders off the list of queued ones, and gives back what the gate had taken for those
  that got no unit: once, however often this is told. Runs behind give-back.lua.

  KEYS[1] sorted set of queued purchases
  ARGV[1] prefix of gate keys
  ARGV    for each purchase: order id, sale id, buyer id, units for the buyer's limit, units for the gate
]]
local ended = {}
for i = 2, #ARGV, 5 do
  local gate = ARGV[1] .. ARGV[i + 1]
  if redis.call('ZREM', KEYS[1], ARGV[i]) == 1 then
    ended[gate] = (ended[gate] or 0) + 1
    if ARGV[i + 3] ~= '0' and redis.call('EXISTS', gate) == 1 then
      giveBackUnits(gate, ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
    end
  end
end
for gate, count in pairs(ended) do
  if redis.call('EXISTS', gate) == 1 then redis.call('HINCRBY', gate, 'queued', -count) end
end
