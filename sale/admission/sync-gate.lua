--[[
  Tells a sale's gate what MongoDB says of the sale: makes the gate when there is none, otherwise adds what was put back
  on sale, and takes over an admin's change if it is newer than the last one. Safe to run twice and in any order.
  A gate that came back with an old Redis can also know a revision that MongoDB does not have: whoever compared them
  says which revision the gate had, and it is overwritten unless an admin changed it meanwhile.
  Runs behind take-returned.lua.

  KEYS[1] the gate
  ARGV    stock, units on sale, limit per buyer, opensAt (ms), closesAt (ms), paused (0 or 1), revision,
          when to forget the gate (ms), units ever put back on sale by cancellations,
          the revision that is overwritten (empty: none)
]]
local units, revision, returned = tonumber(ARGV[2]), tonumber(ARGV[7]), tonumber(ARGV[9])
local known = redis.call('HMGET', KEYS[1], 'units', 'revision')
if known[1] then
  local isOverwritten = known[2] == ARGV[10]
  takeReturned(KEYS[1], returned, isOverwritten)
  if revision <= tonumber(known[2]) and not isOverwritten then return end
  -- Units on sale only ever grow, so their difference is what was added since the gate last heard.
  redis.call('HINCRBY', KEYS[1], 'left', units - tonumber(known[1]))
else
  redis.call('HSET', KEYS[1], 'left', ARGV[1], 'returned', returned)
end
redis.call('HSET', KEYS[1], 'units', units, 'limit', ARGV[3], 'opensAt', ARGV[4], 'closesAt', ARGV[5],
  'paused', ARGV[6], 'revision', revision)
redis.call('PEXPIREAT', KEYS[1], ARGV[8])
