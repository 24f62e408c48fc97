-- Adds the units returned by cancellations since the gate's last update. MongoDB's count only grows, so repeated, late or
-- reordered updates end at the same value. When the gate is overwritten, its count may be too high and is lowered.
-- `suffix` is empty for the count of the whole sale, and :<item id> for the count of an item.
local function takeReturned(gate, suffix, returned, isOverwritten)
  local known = tonumber(redis.call('HGET', gate, 'returned' .. suffix) or 0)
  if returned <= known and not isOverwritten then return end
  redis.call('HSET', gate, 'returned' .. suffix, returned)
  redis.call('HINCRBY', gate, 'left' .. suffix, returned - known)
end
