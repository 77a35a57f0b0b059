-- What stands at one shared limit, for who watches. Nothing is written.
--
-- KEYS  1 the bucket   2 the holders, as `_visit.lua` keeps them
-- Gives a line of integers: the instant, at_once (-1: any), workers, those that wait, slots,
-- microseconds of the pause that are left, then of each dimension the size of its bucket (0: not
-- limited) and what is spent of it, in whole requests or tokens; an empty one where nothing is known.

local DIMENSIONS = 4
local SEEN, LAPSE, SLOTS, TICKET, KEPT = 1, 2, 4, 5, 5
local AT, PAUSED, UNTIL, SPENT, SCALE, CAPACITY, REFILL, AT_ONCE = 1, 2, 3, 3, 7, 11, 15, 20

local stored = redis.call('GET', KEYS[1])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local bucket = stored and cmsgpack.unpack(stored)
if not bucket or bucket[UNTIL] <= now then return '' end

local workers, waiting, slots, kept = 0, 0, 0, {0, 0, 0, 0}
local flat = redis.call('HGETALL', KEYS[2])
for i = 1, #flat, 2 do
  local entry = cmsgpack.unpack(flat[i + 1])
  for d = 1, DIMENSIONS do kept[d] = kept[d] + entry[KEPT + d] end
  if now - entry[SEEN] < entry[LAPSE] then
    workers = workers + 1
    slots = slots + entry[SLOTS]
    if entry[TICKET] > 0 then waiting = waiting + 1 end
  end
end

local told = {now, bucket[AT_ONCE], workers, waiting, slots, math.max(0, bucket[PAUSED] - now)}
for d = 1, DIMENSIONS do
  local capacity, spent = bucket[CAPACITY + d], 0
  local scale = math.max(1, bucket[SCALE + d])
  if capacity > 0 then
    spent = bucket[SPENT + d] - math.max(0, now - bucket[AT]) * bucket[REFILL + d]
    spent = math.max(spent, kept[d] * scale)
  end
  told[#told + 1] = math.floor(capacity / scale)
  told[#told + 1] = math.ceil(spent / scale)
end
for i, number in ipairs(told) do told[i] = string.format('%.0f', number) end
return table.concat(told, ' ')
