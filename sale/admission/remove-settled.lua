--[[
  Removes settled purchases from the queued set, and gives the units of rejected purchases back to their gates. Idempotent,
  because a purchase that is not queued any more is skipped. give-back.lua is put in front of this script.

  KEYS[1] sorted set of queued purchases of a shard; KEYS[2..] the gates, so that Redis Cluster refuses the call as a whole
  ARGV[1] prefix of the shard's gate keys
  ARGV    for each sale: its id, the number of paid purchases, the number of rejected purchases,
          the order id of each paid purchase,
          and for each rejected purchase: order id, person id, units for the person's limits, units for the gate,
          lines as JSON (empty for a sale with one item), id of its code (empty: none)
]]
local at = 2
while at <= #ARGV do
  local gate, paid, rejected = ARGV[1] .. ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  at = at + 3
  local removed = paid > 0 and redis.call('ZREM', KEYS[1], unpack(ARGV, at, at + paid - 1)) or 0
  at = at + paid
  for _ = 1, rejected do
    if redis.call('ZREM', KEYS[1], ARGV[at]) == 1 then
      removed = removed + 1
      giveBackUnits(gate, ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), ARGV[at + 4], ARGV[at + 5])
    end
    at = at + 6
  end
  if removed > 0 and redis.call('EXISTS', gate) == 1 then redis.call('HINCRBY', gate, 'queued', -removed) end
end
