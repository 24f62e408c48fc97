--[[
  After a commit: takes settled purchases off the list of queued ones, and gives back what the gate had taken for
  those that got no unit.

  KEYS[1] sorted set of queued purchases
  ARGV[1] prefix of gate keys
  ARGV[2] how many order ids follow
  ARGV    the order ids, then for each unit to give back: sale id, buyer id, units for the buyer's limit,
          units for the gate
]]
local last = 2 + tonumber(ARGV[2])
for first = 3, last, 1000 do
  redis.call('ZREM', KEYS[1], unpack(ARGV, first, math.min(first + 999, last)))
end
for i = last + 1, #ARGV, 4 do
  local gate = ARGV[1] .. ARGV[i]
  if redis.call('EXISTS', gate) == 1 then
    redis.call('HINCRBY', gate, 'b:' .. ARGV[i + 1], -ARGV[i + 2])
    redis.call('HINCRBY', gate, 'left', ARGV[i + 3])
  end
end
