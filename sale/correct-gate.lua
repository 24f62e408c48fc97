--[[
  Makes a gate count what MongoDB has left. It can differ when units were not given back, because Redis lost its memory
  and purchases were sent again, or a worker died. Does nothing when anything was admitted since both were read, or
  purchases of the sale wait to be settled: their units are in MongoDB's stock and rightly not in the gate. Units that
  were put on sale or back are in that stock as well, so the gate must not add them once more when it hears of them.

  KEYS[1] the gate
  ARGV    what the gate counted when MongoDB was read; what MongoDB has: stock, units on sale, units ever put back
]]
local gate = redis.call('HMGET', KEYS[1], 'left', 'queued', 'units', 'returned')
local hasNewer = tonumber(gate[3] or 0) > tonumber(ARGV[3]) or tonumber(gate[4] or 0) > tonumber(ARGV[4])
if gate[1] == ARGV[1] and (gate[2] or '0') == '0' and not hasNewer then
  redis.call('HSET', KEYS[1], 'left', ARGV[2], 'units', ARGV[3], 'returned', ARGV[4])
end
