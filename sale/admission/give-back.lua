-- Gives units back to a person's limit. The count may be too low when the gate was rebuilt, so it stops at zero.
local function giveBackToPerson(gate, personId, units)
  local has = tonumber(redis.call('HGET', gate, 'b:' .. personId) or 0) - units
  if has > 0 then
    redis.call('HSET', gate, 'b:' .. personId, has)
  else
    redis.call('HDEL', gate, 'b:' .. personId)
  end
end

-- Gives units back to a gate. A gate that does not exist will be rebuilt from MongoDB and needs nothing.
local function giveBackUnits(gate, personId, personUnits, gateUnits)
  if redis.call('EXISTS', gate) == 0 then return end
  giveBackToPerson(gate, personId, personUnits)
  redis.call('HINCRBY', gate, 'left', gateUnits)
end
