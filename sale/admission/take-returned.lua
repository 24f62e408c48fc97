-- Adds to a gate the units that cancellations put back on sale since it last heard of any. MongoDB's count of them only
-- grows, so that a gate which is told twice, late or out of order ends up right. One that is
-- overwritten may have heard of more than there is.
local function takeReturned(gate, returned, isOverwritten)
  local heard = tonumber(redis.call('HGET', gate, 'returned') or 0)
  if returned <= heard and not isOverwritten then return end
  redis.call('HSET', gate, 'returned', returned)
  redis.call('HINCRBY', gate, 'left', returned - heard)
end
