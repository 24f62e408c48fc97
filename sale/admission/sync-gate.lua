--[[
  Updates a sale's gate from the sale in MongoDB: creates a missing gate, otherwise adds returned units, and takes over an
  admin's change if its revision is newer. Idempotent, and safe in any order.
  After Redis lost recent writes, a gate can also have a revision that MongoDB does not have. The caller then passes the
  gate's revision, and it is overwritten unless an admin changed it meanwhile.
  take-returned.lua is put in front of this script.

  KEYS[1] the gate
  ARGV    stock, units ever put on sale, limit per buyer, opensAt (ms), closesAt (ms), paused (0 or 1), revision,
          when the gate expires (ms), units ever put back on sale by cancellations,
          the revision to overwrite (empty: none), the items as JSON (empty for a sale with one item): for each its
          id, stock, units, returned and limit (absent: none),
          whether only buyers with a verified address may buy (0 or 1), what is reserved for people with a place,
          whether the sale has a waiting room (0 or 1), its phases (empty: none), its demands against bots as JSON (empty:
          none)
]]
local units, revision, returned = tonumber(ARGV[2]), tonumber(ARGV[7]), tonumber(ARGV[9])
local items = ARGV[11] == '' and {} or cjson.decode(ARGV[11])
local known = redis.call('HMGET', KEYS[1], 'units', 'revision', 'items')

-- Items are replaced only before anything is sold, so the gate of other items counts nothing, and is made anew.
local function areItemsReplaced()
  if not known[3] then return false end
  if tonumber(known[3]) ~= #items then return true end
  for _, item in ipairs(items) do
    if redis.call('HEXISTS', KEYS[1], 'units:' .. item.id) == 0 then return true end
  end
  return false
end
if known[1] and (revision > tonumber(known[2]) or known[2] == ARGV[10]) and areItemsReplaced() then
  redis.call('DEL', KEYS[1])
  known = {}
end

-- A published sale keeps it, so it is written whatever the revision: a gate made by the version before has no such field.
redis.call('HSET', KEYS[1], 'room', ARGV[14])
redis.call('HSETNX', KEYS[1], 'phases', ARGV[15])
redis.call('HSETNX', KEYS[1], 'demands', ARGV[16])
if known[1] then
  local isOverwritten = known[2] == ARGV[10]
  takeReturned(KEYS[1], '', returned, isOverwritten)
  for _, item in ipairs(items) do takeReturned(KEYS[1], ':' .. item.id, item.returned, isOverwritten) end
  if revision <= tonumber(known[2]) and not isOverwritten then return end
  -- Units that are kept back stay in the count, so the difference was added since the gate's last update, or withdrawn when
  -- it is negative.
  redis.call('HINCRBY', KEYS[1], 'left', units - tonumber(known[1]))
else
  redis.call('HSET', KEYS[1], 'left', ARGV[1], 'returned', returned)
end
for _, item in ipairs(items) do
  local suffix = ':' .. item.id
  local knownUnits = redis.call('HGET', KEYS[1], 'units' .. suffix)
  if knownUnits then
    redis.call('HINCRBY', KEYS[1], 'left' .. suffix, item.units - tonumber(knownUnits))
  else
    -- Also when the gate was made by a version that knew no items.
    redis.call('HSET', KEYS[1], 'left' .. suffix, item.stock, 'returned' .. suffix, item.returned)
  end
  redis.call('HSET', KEYS[1], 'units' .. suffix, item.units)
  if item.limit then
    redis.call('HSET', KEYS[1], 'limit' .. suffix, item.limit)
  else
    redis.call('HDEL', KEYS[1], 'limit' .. suffix)
  end
end
if #items > 0 then redis.call('HSET', KEYS[1], 'items', #items) end
redis.call('HSET', KEYS[1], 'units', units, 'limit', ARGV[3], 'opensAt', ARGV[4], 'closesAt', ARGV[5],
  'paused', ARGV[6], 'revision', revision, 'verified', ARGV[12], 'reserved', ARGV[13], 'phases', ARGV[15],
  'demands', ARGV[16])
redis.call('PEXPIREAT', KEYS[1], ARGV[8])
