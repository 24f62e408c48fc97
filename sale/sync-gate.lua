--[[
  Tells a sale's gate what MongoDB says of the sale: makes the gate when there is none, otherwise takes over an
  admin's change if it is newer than the last one. Safe to run twice and in any order.

  KEYS[1] the gate
  ARGV    stock, units on sale, limit per buyer, opensAt (ms), closesAt (ms), paused (0 or 1), revision,
          when to forget the gate (ms)
]]
local stock, units, revision = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[7])
local known = redis.call('HMGET', KEYS[1], 'left', 'units', 'revision')
local left = stock
if known[1] then
  if revision <= tonumber(known[3]) then return end
  -- Units on sale only ever grow, so their difference is what was added since the gate last heard.
  left = tonumber(known[1]) + units - tonumber(known[2])
end
redis.call('HSET', KEYS[1], 'left', left, 'units', units, 'limit', ARGV[3], 'opensAt', ARGV[4], 'closesAt', ARGV[5],
  'paused', ARGV[6], 'revision', revision)
redis.call('PEXPIREAT', KEYS[1], ARGV[8])
