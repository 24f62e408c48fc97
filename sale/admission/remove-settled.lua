--[[
  Removes settled purchases from the queued set, and gives the units of those that got none back to the gates. Idempotent,
  because only a purchase that is still queued counts. give-back.lua is put in front of this script.

  KEYS[1] sorted set of queued purchases
  ARGV[1] prefix of gate keys
  ARGV    for each sale: its id, how many purchases got their units, how many did not,
          the order id of each that did,
          and for each that did not: order id, person id, units for the person's limit, units for the gate
]]
local at = 2
while at <= #ARGV do
  local gate, sold, others = ARGV[1] .. ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  at = at + 3
  local ended = sold > 0 and redis.call('ZREM', KEYS[1], unpack(ARGV, at, at + sold - 1)) or 0
  at = at + sold
  for _ = 1, others do
    if redis.call('ZREM', KEYS[1], ARGV[at]) == 1 then
      ended = ended + 1
      giveBackUnits(gate, ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
    end
    at = at + 4
  end
  if ended > 0 and redis.call('EXISTS', gate) == 1 then redis.call('HINCRBY', gate, 'queued', -ended) end
end
