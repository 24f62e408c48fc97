--[[
  Makes a gate count what MongoDB has left. It can differ when units were not given back, because Redis lost its memory
  and purchases were sent again, or a worker died. Does nothing when anything was admitted since both were read, or
  purchases of the sale wait to be settled: their units are in MongoDB's stock and rightly not in the gate.

  KEYS[1] the gate
  ARGV    what the gate counted when MongoDB was read, what MongoDB has
]]
local gate = redis.call('HMGET', KEYS[1], 'left', 'queued')
if gate[1] == ARGV[1] and (gate[2] or '0') == '0' then
  redis.call('HSET', KEYS[1], 'left', ARGV[2])
end
