-- Gives units back to a gate, unless the gate is gone: then MongoDB will say what is left.
local function giveBackUnits(gate, buyerId, buyerUnits, gateUnits)
  if redis.call('EXISTS', gate) == 0 then return end
  redis.call('HINCRBY', gate, 'b:' .. buyerId, -buyerUnits)
  redis.call('HINCRBY', gate, 'left', gateUnits)
end
