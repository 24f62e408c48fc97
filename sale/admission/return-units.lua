--[[
  Returns the units of cancelled orders to the gates and to each person's limit. A gate that does not exist is skipped,
  because it will be rebuilt from MongoDB. take-returned.lua and give-back.lua are put in front of this script.

  KEYS       the gates, all of one shard
  ARGV[1]    prefix of the shard's gate keys
  ARGV[2..]  for each sale: its id, the units ever put back on sale, how many of its items had units put back (none for a
             sale with one item), how many orders were cancelled,
             for each of these items: item id, the units of it ever put back on sale,
             and for each of these orders: person id, units, lines as JSON (empty for a sale with one item), id of its
             code (empty: none)
]]
local at = 2
while at <= #ARGV do
  local gate, returned = ARGV[1] .. ARGV[at], tonumber(ARGV[at + 1])
  local items, orders = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  at = at + 4
  local isThere = redis.call('EXISTS', gate) == 1
  if isThere then takeReturned(gate, '', returned) end
  for _ = 1, items do
    if isThere then takeReturned(gate, ':' .. ARGV[at], tonumber(ARGV[at + 1])) end
    at = at + 2
  end
  for _ = 1, orders do
    if isThere then
      giveBackToPerson(gate, ARGV[at], tonumber(ARGV[at + 1]), linesIn(gate, ARGV[at + 2]), ARGV[at + 3])
    end
    at = at + 4
  end
end
