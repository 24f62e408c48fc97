--[[
  Counts one, in a window of time that begins with the first.

  KEYS[1] the counter
  ARGV[1] length of the window (ms)

  Returns the count, and the ms until it begins anew.
]]
local count = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  left = tonumber(ARGV[1])
  redis.call('PEXPIRE', KEYS[1], left)
end
return { count, left }
