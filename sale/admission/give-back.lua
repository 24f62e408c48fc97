-- Gives units back to a limit. The count may be too low when the gate was rebuilt, so it stops at zero.
local function giveBackToHolder(gate, holder, units)
  local has = tonumber(redis.call('HGET', gate, 'b:' .. holder) or 0) - units
  if has > 0 then
    redis.call('HSET', gate, 'b:' .. holder, has)
  else
    redis.call('HDEL', gate, 'b:' .. holder)
  end
end

-- Gives units back to a person's limits: to that of the sale, and to those of the items of which the person has units. `code` is the
-- id of the code that gets a use back, or empty.
local function giveBackToPerson(gate, personId, units, lines, code)
  giveBackToHolder(gate, personId, units)
  for _, line in ipairs(lines) do giveBackToHolder(gate, personId .. ':' .. line.itemId, line.quantity) end
  if code ~= '' then giveBackToHolder(gate, 'code:' .. code, 1) end
end

-- The lines of a purchase, from their JSON; none when it is empty, or the gate counts no items because the sale has one.
local function linesIn(gate, json)
  if json == '' or redis.call('HEXISTS', gate, 'items') == 0 then return {} end
  return cjson.decode(json)
end

-- Gives units back to a gate. A gate that does not exist will be rebuilt from MongoDB and needs nothing.
local function giveBackUnits(gate, personId, personUnits, gateUnits, json, code)
  if redis.call('EXISTS', gate) == 0 then return end
  local lines = linesIn(gate, json)
  giveBackToPerson(gate, personId, personUnits, lines, code)
  redis.call('HINCRBY', gate, 'left', gateUnits)
  if gateUnits == 0 then return end
  for _, line in ipairs(lines) do redis.call('HINCRBY', gate, 'left:' .. line.itemId, line.quantity) end
end
