--[[
  Adds to a gate's counts their differences from MongoDB. They are added rather than set, because purchases are admitted
  between the comparison and this script. Does nothing when another process corrected the gate meanwhile.

  KEYS[1] the gate
  ARGV    how often the gate had been corrected when it was read (empty: never), units left, queued purchases,
          the number of items, for each of these: item id, units left of it,
          and for each holder of units: a person's id or <person id>:<item id>, units
  Returns 1 when the gate was corrected
]]
local gate = KEYS[1]
if redis.call('EXISTS', gate) == 0 then return 0 end
if (redis.call('HGET', gate, 'checked') or '') ~= ARGV[1] then return 0 end
redis.call('HINCRBY', gate, 'checked', 1)
redis.call('HINCRBY', gate, 'left', ARGV[2])
redis.call('HINCRBY', gate, 'queued', ARGV[3])
local firstHolder = 5 + 2 * tonumber(ARGV[4])
for i = 5, firstHolder - 1, 2 do redis.call('HINCRBY', gate, 'left:' .. ARGV[i], ARGV[i + 1]) end
for i = firstHolder, #ARGV, 2 do
  local field = 'b:' .. ARGV[i]
  if redis.call('HINCRBY', gate, field, ARGV[i + 1]) == 0 then redis.call('HDEL', gate, field) end
end
return 1
