--[[
  Counts a person of a sale towards the network from which they come, in one atomic step, unless so many people from there
  take part already. A person is counted once, by the network of the first time.

  All keys are of the sale's shard.
  KEYS[1]  hash: the network of each person; it has the field '' once the people with places were counted
  KEYS[2]  sorted set: the number of people of each network
  KEYS[3]  sorted set: how often people of each network were refused
  KEYS[4]  hash: how many presses each person began (`<person>:taken`), and how they ended (`:kept`, `:refused`), so that a
           refused press does not take away what another one beside it got
  ARGV     person id, network, how many people of one network may take part, when the keys expire (Unix ms)

  Returns taken | known (counted before) | refused | missing: Redis has lost the counts, or never had them
]]
if redis.call('HEXISTS', KEYS[1], '') == 0 then return 'missing' end
local person = ARGV[1]
if redis.call('HEXISTS', KEYS[1], person) == 1 then
  -- Whoever was counted again, or by the previous version, has something already.
  if redis.call('HSETNX', KEYS[4], person .. ':taken', 1) == 1 then redis.call('HSET', KEYS[4], person .. ':kept', 1) end
  redis.call('HINCRBY', KEYS[4], person .. ':taken', 1)
  redis.call('PEXPIREAT', KEYS[4], ARGV[4])
  return 'known'
end
local isFull = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[2]) or 0) >= tonumber(ARGV[3])
if isFull then
  redis.call('ZINCRBY', KEYS[3], 1, ARGV[2])
else
  redis.call('HSET', KEYS[1], person, ARGV[2])
  redis.call('HDEL', KEYS[4], person .. ':kept', person .. ':refused')
  redis.call('HSET', KEYS[4], person .. ':taken', 1)
  redis.call('ZINCRBY', KEYS[2], 1, ARGV[2])
end
for _, key in ipairs(KEYS) do redis.call('PEXPIREAT', key, ARGV[4]) end
return isFull and 'refused' or 'taken'
