-- Adds the units returned by cancellations since the gate's last update. MongoDB's count only grows, so repeated, late or
-- reordered updates end at the same value. When the gate is overwritten, its count may be too high and is lowered.
local function takeReturned(gate, returned, isOverwritten)
  local known = tonumber(redis.call('HGET', gate, 'returned') or 0)
  if returned <= known and not isOverwritten then return end
  redis.call('HSET', gate, 'returned', returned)
  redis.call('HINCRBY', gate, 'left', returned - known)
end
