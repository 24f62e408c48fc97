--[[
  Makes a gate count what MongoDB has left. It can differ when units were not given back, because Redis lost its memory
  and purchases were sent again, or a worker died. Does nothing when anything was admitted since both were read, or
  purchases wait to be settled: their units are in MongoDB's stock and rightly not in the gate.

  KEYS[1] the gate
  KEYS[2] sorted set of queued purchases
  ARGV    what the gate counted when MongoDB was read, what MongoDB has
]]
if redis.call('HGET', KEYS[1], 'left') == ARGV[1] and redis.call('ZCARD', KEYS[2]) == 0 then
  redis.call('HSET', KEYS[1], 'left', ARGV[2])
end
