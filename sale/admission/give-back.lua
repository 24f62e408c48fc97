-- Gives units back to a person's limit. A gate that was made again has not counted all that the person took.
local function giveBackToPerson(gate, personId, units)
  local has = tonumber(redis.call('HGET', gate, 'b:' .. personId) or 0) - units
  if has > 0 then
    redis.call('HSET', gate, 'b:' .. personId, has)
  else
    redis.call('HDEL', gate, 'b:' .. personId)
  end
end

-- Gives units back to a gate, unless the gate is gone: then MongoDB will say what is left.
local function giveBackUnits(gate, personId, personUnits, gateUnits)
  if redis.call('EXISTS', gate) == 0 then return end
  giveBackToPerson(gate, personId, personUnits)
  redis.call('HINCRBY', gate, 'left', gateUnits)
end
