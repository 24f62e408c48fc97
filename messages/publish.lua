--[[
  Adds jobs of events to the queue of a subscription, all or none. Bull's own script, as addBullJob(KEYS, ARGV), is put in
  front of this one. A queue with fewer publishes than expected has lost data: then nothing is added, because its
  subscriber would get new events before the missing ones.

  KEYS[1]    hash of the number of publishes by name of the subscription
  KEYS[2..7] the keys that addBullJob needs; KEYS[2] is the list of waiting jobs
  ARGV[1]    name of the subscription
  ARGV[2]    the number of publishes that it must have had
  ARGV[3]    how many jobs may wait
  ARGV[4]    prefix of the queue's keys
  ARGV[5]    now (ms)
  ARGV[6..]  for each job: its id, its data as JSON, its options as JSON

  Returns the number of publishes now | 'full' | 'lost'
]]
local publishes = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0)
if publishes < tonumber(ARGV[2]) then return 'lost' end
if redis.call('LLEN', KEYS[2]) >= tonumber(ARGV[3]) then return 'full' end
for i = 6, #ARGV, 3 do
  addBullJob({ unpack(KEYS, 2) }, {
    ARGV[4], ARGV[i], '__default__', ARGV[i + 1], cmsgpack.pack(ARGV[i + 2]), ARGV[5],
    0, 0, 0, 'LPUSH', '', '', '', '',
  })
end
return redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
