--[[
  Updates a sale's gate from the sale in MongoDB: creates a missing gate, otherwise adds returned units, and takes over an
  admin's change if its revision is newer. Idempotent, and safe in any order.
  After Redis lost recent writes, a gate can also have a revision that MongoDB does not have. The caller then passes the
  gate's revision, and it is overwritten unless an admin changed it meanwhile.
  take-returned.lua is put in front of this script.

  KEYS[1] the gate
  ARGV    stock, units ever put on sale, limit per buyer, opensAt (ms), closesAt (ms), paused (0 or 1), revision,
          when the gate expires (ms), units ever put back on sale by cancellations,
          the revision to overwrite (empty: none)
]]
local units, revision, returned = tonumber(ARGV[2]), tonumber(ARGV[7]), tonumber(ARGV[9])
local known = redis.call('HMGET', KEYS[1], 'units', 'revision')
if known[1] then
  local isOverwritten = known[2] == ARGV[10]
  takeReturned(KEYS[1], returned, isOverwritten)
  if revision <= tonumber(known[2]) and not isOverwritten then return end
  -- Units that are kept back stay in the count, so the difference was added since the gate's last update.
  redis.call('HINCRBY', KEYS[1], 'left', units - tonumber(known[1]))
else
  redis.call('HSET', KEYS[1], 'left', ARGV[1], 'returned', returned)
end
redis.call('HSET', KEYS[1], 'units', units, 'limit', ARGV[3], 'opensAt', ARGV[4], 'closesAt', ARGV[5],
  'paused', ARGV[6], 'revision', revision)
redis.call('PEXPIREAT', KEYS[1], ARGV[8])
