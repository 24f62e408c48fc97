--[[
  Takes purchases that have their orders off the list of queued ones, and gives back what the gate had taken for those
  that got no unit: once, however often this is told. Runs behind give-back.lua.

  KEYS[1] sorted set of queued purchases
  ARGV[1] key of the sale's gate
  ARGV[2] how many of the purchases got their units, then the order id of each
  ARGV    for each of the others: order id, buyer id, units for the buyer's limit, units for the gate
]]
local gate, sold = ARGV[1], tonumber(ARGV[2])
local ended = sold > 0 and redis.call('ZREM', KEYS[1], unpack(ARGV, 3, 2 + sold)) or 0
for i = 3 + sold, #ARGV, 4 do
  if redis.call('ZREM', KEYS[1], ARGV[i]) == 1 then
    ended = ended + 1
    giveBackUnits(gate, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
  end
end
if ended > 0 and redis.call('EXISTS', gate) == 1 then redis.call('HINCRBY', gate, 'queued', -ended) end
