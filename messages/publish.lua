--[[
  Adds jobs of events to the queue of a subscription, all or none. Runs behind addBullJob(KEYS, ARGV), which is Bull's own
  script. A queue that has had fewer publishes than it should was emptied, or is an older copy: then nothing may be added,
  or its reader would get new events before those that are missing.

  KEYS[1]    hash of the number of publishes by name of the subscription
  KEYS[2..7] what addBullJob needs; KEYS[2] is the list of jobs that wait
  ARGV[1]    name of the subscription
  ARGV[2]    how many publishes it has had at least
  ARGV[3]    how many jobs may wait
  ARGV[4]    prefix of the queue's keys
  ARGV[5]    now (ms)
  ARGV[6..]  for each job: its id, its data as JSON, its options as JSON

  Returns how many publishes it has had now | 'full' | 'lost'
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
