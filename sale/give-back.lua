-- Gives units back to a buyer's limit. A gate that was made again has not counted all that the buyer took.
local function giveBackToBuyer(gate, buyerId, units)
  local has = tonumber(redis.call('HGET', gate, 'b:' .. buyerId) or 0) - units
  if has > 0 then
    redis.call('HSET', gate, 'b:' .. buyerId, has)
  else
    redis.call('HDEL', gate, 'b:' .. buyerId)
  end
end

-- Gives units back to a gate, unless the gate is gone: then MongoDB will say what is left.
local function giveBackUnits(gate, buyerId, buyerUnits, gateUnits)
  if redis.call('EXISTS', gate) == 0 then return end
  giveBackToBuyer(gate, buyerId, buyerUnits)
  redis.call('HINCRBY', gate, 'left', gateUnits)
end
