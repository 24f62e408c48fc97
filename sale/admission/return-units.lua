--[[
  Returns the units of cancelled orders to the gates and to each person's limit. A gate that does not exist is skipped,
  because it will be rebuilt from MongoDB. take-returned.lua and give-back.lua are put in front of this script.

  KEYS[1]    prefix of gate keys
  ARGV       for each sale: its id, the units ever put back on sale, how many orders were cancelled,
             and for each of these: person id, units
]]
local at = 1
while at <= #ARGV do
  local gate, returned, orders = KEYS[1] .. ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  at = at + 3
  local isThere = redis.call('EXISTS', gate) == 1
  if isThere then takeReturned(gate, returned) end
  for _ = 1, orders do
    if isThere then giveBackToPerson(gate, ARGV[at], tonumber(ARGV[at + 1])) end
    at = at + 2
  end
end
