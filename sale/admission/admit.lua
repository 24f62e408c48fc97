--[[
  Admits a flush of purchases, in order of arrival, in one round trip:
  takes their units from the sale's gate, stores each purchase, and adds ONE job with all admitted purchases.
  Nothing is written for a refused purchase. The queue's function addJob(KEYS, job, now) is put in front of this script:
  Bull's adds the job here, RabbitMQ's does nothing, because the server publishes the job afterwards.

  All keys are of one shard.
  KEYS[1]    sorted set of the purchases that are accepted and not yet settled: order id by time of arrival (ms)
  KEYS[2..]  the keys that addJob needs, and after them, on Redis Cluster only, the gates and stored purchases, so that it
             refuses the flush as a whole while it moves one of them
  ARGV[1]    prefix of gate keys; a gate is a hash: left, limit, opensAt, closesAt (ms), paused (0 or 1),
             units, returned, revision, queued = purchases not yet settled,
             b:<personId> = units this person took, checked = how often the gate was corrected,
             verified (0 or 1) = whether only buyers with a verified address may buy, and demands = what is demanded against
             bots, as JSON, both of which are checked before,
             reserved = the items of which nothing is sold here, because people with a place get it: their ids between
             commas, or * for a draw, and for a room in front of another site,
             room (0 or 1) = whether the sale has a waiting room, in which everything is sold to whoever has a pass; a gate
             without this field was made by the version before, and is synchronised first like a missing one,
             phases = who may buy from when on; empty: everybody. It is only compared with what the buyer's times follow from,
             b:code:<codeId> = the orders that a code has let in
             The gate of a sale with several items also has items = how many, and for each of them left:<itemId>,
             units:<itemId>, returned:<itemId> and, where it has a limit of its own, limit:<itemId> and
             b:<personId>:<itemId>; left, units and returned are the sums
  ARGV[2]    prefix of stored purchases: JSON by order id
  ARGV[3]    seconds for which a purchase is stored
  ARGV[4]    how many purchases may be queued in this shard
  ARGV[5..]  for each purchase: order id, sale id, person id, quantity, the purchase as JSON without lines, its lines as JSON
             (empty when it has none), whether its person has a pass of the waiting room (0 or 1),
             when the sale opens for the buyer, as JSON (empty when that was not looked up):
             phases = from which it follows, opensMs = when (absent: never), withCodeMs = when by redeeming a code (absent: never),
             code = the code's id, uses = how many orders it lets in

  Returns for each purchase one of
    admitted | known:<the stored JSON> | busy | no_gate | paused | ended
    admitted_plain: as a purchase without lines, because the sale has one item; each with _code when it redeems its code
    unqueued:<the stored JSON>: known but not queued, because it is settled or its job was lost
    not_open:<opensAt ms> | over_limit, or over_limit:<item id> | sold_out:<units left>, or sold_out:<units left>:<item id>
    unknown_item: it has no lines, and the sale has several items | unknown_item:<item id>
    drawn: the sale is a draw | elsewhere: its waiting room stands in front of another site | no_pass: the sale has a waiting room, and the person no pass
    phased:<phases>: look up when it opens for the buyer, and send it again
    not_admitted, or not_admitted:<opensMs>: it does not open for the buyer, or later | code_used: as often as it may be
]]
local gatePrefix, purchasePrefix, memorySeconds = ARGV[1], ARGV[2], ARGV[3]
local room = tonumber(ARGV[4]) - redis.call('ZCARD', KEYS[1])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local gates = {}
local function gateOf(saleId)
  if gates[saleId] == nil then
    local f = redis.call('HMGET', gatePrefix .. saleId, 'left', 'limit', 'opensAt', 'closesAt', 'paused', 'items',
      'reserved', 'room', 'phases')
    gates[saleId] = f[1] and f[8] and f[9] and {
      left = tonumber(f[1]), limit = tonumber(f[2]), taken = 0, admitted = 0,
      opensAt = tonumber(f[3]), closesAt = tonumber(f[4]), paused = f[5] == '1',
      items = f[6] and {}, reserved = f[7] or '', isRoom = f[8] == '1', phases = f[9],
    } or false
  end
  return gates[saleId]
end

-- Whether the units of an item go to people with a place.
local function isReserved(gate, itemId)
  return gate.reserved ~= '' and not gate.isRoom and gate.reserved:find(',' .. itemId .. ',', 1, true) ~= nil
end

-- An item of a sale that has several; false when there is no such item.
local function itemOf(gate, saleId, itemId)
  if gate.items[itemId] == nil then
    local f = redis.call('HMGET', gatePrefix .. saleId, 'left:' .. itemId, 'limit:' .. itemId)
    gate.items[itemId] = f[1] and { left = tonumber(f[1]), limit = tonumber(f[2] or nil), taken = 0 } or false
  end
  return gate.items[itemId]
end

local function unitsOf(saleId, holder)
  return tonumber(redis.call('HGET', gatePrefix .. saleId, 'b:' .. holder) or 0)
end

-- Why lines cannot be admitted to a sale with several items.
local function lineRefusalOf(gate, saleId, personId, lines)
  if not lines then return 'unknown_item' end
  for _, line in ipairs(lines) do
    local item = itemOf(gate, saleId, line.itemId)
    if not item then return 'unknown_item:' .. line.itemId end
    if isReserved(gate, line.itemId) then return 'sold_out:0:' .. line.itemId end
    if item.left < line.quantity then
      return string.format('sold_out:%.0f:%s', math.max(item.left, 0), line.itemId)
    end
    if item.limit and unitsOf(saleId, personId .. ':' .. line.itemId) + line.quantity > item.limit then
      return 'over_limit:' .. line.itemId
    end
  end
end

-- Takes the units of lines, or with `sign` -1 gives them back, in a sale with several items.
local function takeLines(gate, saleId, personId, lines, sign)
  for _, line in ipairs(lines) do
    local item = gate.items[line.itemId]
    item.left = item.left - sign * line.quantity
    item.taken = item.taken + sign * line.quantity
    if item.limit then
      redis.call('HINCRBY', gatePrefix .. saleId, 'b:' .. personId .. ':' .. line.itemId, sign * line.quantity)
    end
  end
end

-- Why a buyer is not let into a sale with phases, and when it opens for them.
local function doorRefusalOf(gate, saleId, entry)
  if gate.phases == '' then return end
  if not entry or entry.phases ~= gate.phases then return 'phased:' .. gate.phases, math.huge end
  if entry.opensMs and now >= entry.opensMs then return end
  local first = math.min(entry.opensMs or math.huge, entry.withCodeMs or math.huge)
  if not entry.withCodeMs or now < entry.withCodeMs then
    return first == math.huge and 'not_admitted' or string.format('not_admitted:%.0f', first), first
  end
  if unitsOf(saleId, 'code:' .. entry.code) + 1 > entry.uses then return 'code_used', first end
end

-- The only item of a sale has this id.
local onlyItem = '1'

local function refusalOf(gate, saleId, personId, quantity, lines, hasPass, entry)
  if not gate then return 'no_gate' end
  if now >= gate.closesAt then return 'ended' end
  local doorRefusal, opensForBuyer = doorRefusalOf(gate, saleId, entry)
  if now < gate.opensAt and (not doorRefusal or opensForBuyer <= gate.opensAt) then
    return string.format('not_open:%.0f', gate.opensAt)
  end
  if gate.reserved == '*' then return gate.isRoom and 'elsewhere' or 'drawn' end
  if doorRefusal then return doorRefusal end
  if gate.paused then return 'paused' end
  if gate.isRoom and not hasPass then return 'no_pass' end
  if gate.items then
    local refusal = lineRefusalOf(gate, saleId, personId, lines)
    if refusal then return refusal end
  elseif lines and lines[1].itemId ~= onlyItem then
    return 'unknown_item:' .. lines[1].itemId
  elseif lines and lines[2] then
    return 'unknown_item:' .. lines[2].itemId
  elseif isReserved(gate, onlyItem) then
    return 'sold_out:0'
  end
  if gate.left < quantity then return string.format('sold_out:%.0f', math.max(gate.left, 0)) end
  if unitsOf(saleId, personId) + quantity > gate.limit then return 'over_limit' end
  if room < 1 then return 'busy' end
end

-- Order ids that this flush admits; they are added to the queued set at the end of this script.
local isAdmitted = {}

-- The reply for a purchase that is stored already.
local function recall(orderId)
  local json = redis.call('GET', purchasePrefix .. orderId)
  if not json then return end
  local isQueued = isAdmitted[orderId] or redis.call('ZSCORE', KEYS[1], orderId)
  return (isQueued and 'known:' or 'unqueued:') .. json
end

local perPurchase = 8

local replies, admitted, queued, linesAt, codeAt = {}, {}, {}, {}, {}
for i = 5, #ARGV, perPurchase do
  local orderId, saleId, personId = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local quantity, json = tonumber(ARGV[i + 3]), ARGV[i + 4]
  local gate = gateOf(saleId)
  local lines = ARGV[i + 5] ~= '' and cjson.decode(ARGV[i + 5]) or nil
  local entry = ARGV[i + 7] ~= '' and cjson.decode(ARGV[i + 7]) or nil
  local refusal = refusalOf(gate, saleId, personId, quantity, lines, ARGV[i + 6] == '1', entry)
  local hasLines = gate and gate.items and lines
  if hasLines then json = json:sub(1, -2) .. ',"lines":' .. ARGV[i + 5] .. '}' end
  -- A code is redeemed only by a buyer whom nothing else lets in.
  local code = not refusal and gate.phases ~= '' and not (entry.opensMs and now >= entry.opensMs) and entry.code or nil
  if code then json = json:sub(1, -2) .. ',"code":"' .. code .. '"}' end
  local reply
  if not refusal and redis.call('SET', purchasePrefix .. orderId, json, 'EX', memorySeconds, 'NX') then
    redis.call('HINCRBY', gatePrefix .. saleId, 'b:' .. personId, quantity)
    queued[#queued + 1] = now
    queued[#queued + 1] = orderId
    gate.left = gate.left - quantity
    gate.taken = gate.taken + quantity
    gate.admitted = gate.admitted + 1
    room = room - 1
    admitted[#admitted + 1] = json
    isAdmitted[orderId] = true
    reply = 'admitted'
    if hasLines then
      takeLines(gate, saleId, personId, lines, 1)
      linesAt[i] = lines
    elseif lines then
      reply = 'admitted_plain'
    end
    if code then
      redis.call('HINCRBY', gatePrefix .. saleId, 'b:code:' .. code, 1)
      codeAt[i] = code
      reply = reply .. '_code'
    end
  else
    reply = recall(orderId) or refusal
  end
  replies[#replies + 1] = reply
end

-- A purchase whose stored JSON expired while it was queued has its units already, so they are not taken twice.
local function undoQueuedBefore()
  for i = 5, #ARGV, perPurchase do
    local orderId, saleId, personId, quantity = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
    local reply = replies[(i - 5) / perPurchase + 1]
    if reply:sub(1, 8) == 'admitted' and tonumber(redis.call('ZSCORE', KEYS[1], orderId)) ~= now then
      redis.call('HINCRBY', gatePrefix .. saleId, 'b:' .. personId, -quantity)
      gates[saleId].taken = gates[saleId].taken - quantity
      gates[saleId].admitted = gates[saleId].admitted - 1
      takeLines(gates[saleId], saleId, personId, linesAt[i] or {}, -1)
      if codeAt[i] then redis.call('HINCRBY', gatePrefix .. saleId, 'b:code:' .. codeAt[i], -1) end
    end
  end
end

if #admitted > 0 then
  if redis.call('ZADD', KEYS[1], 'NX', unpack(queued)) < #admitted then undoQueuedBefore() end
  for saleId, gate in pairs(gates) do
    if gate and gate.admitted > 0 then
      redis.call('HINCRBY', gatePrefix .. saleId, 'left', -gate.taken)
      redis.call('HINCRBY', gatePrefix .. saleId, 'queued', gate.admitted)
      for itemId, item in pairs(gate.items or {}) do
        if item and item.taken ~= 0 then
          redis.call('HINCRBY', gatePrefix .. saleId, 'left:' .. itemId, -item.taken)
        end
      end
    end
  end
  addJob(KEYS, '{"purchases":[' .. table.concat(admitted, ',') .. ']}', now)
end
return replies
