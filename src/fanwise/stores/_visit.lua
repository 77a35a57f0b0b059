-- One visit of one worker at one shared limit: all dimensions in one decision.
--
-- KEYS  1 the bucket   2 the holders (a hash: one entry for each worker); one hash tag
-- ARGV  1 the holder   2 a JSON list of integers (read faster than forty arguments):
--       number of the visit  whether the holder is new  its lapse  known until  pause for
--       at_once (-1: any)  slots held  slots needed  slots more, if ample  delay
--       then for each limited dimension: which (1 to 4)  capacity  refill  scale  owed  kept
--       need  more  left at most
-- Instants and lengths are integer microseconds of the server's clock. Amounts are whole requests
-- and tokens. What is spent is kept in 1/scale of them, of which `refill` come back in each
-- microsecond: with both the terms of a fraction, no digit is ever rounded away. The worker sees to
-- it that no number passes 2^53. `_visit.py` says what the words mean, `_memory.py` is the twin.

local DIMENSIONS = 4
local FIRST, EACH = 10, 9 -- integers before the first dimension, and of each
local SEEN, LAPSE, VISIT, SLOTS, TICKET = 1, 2, 3, 4, 5
local KEPT, NEED, NEED_SLOTS, REPLY = 5, 9, 14, 15 -- KEPT + d, NEED + d
local AT, PAUSED, UNTIL, SPENT, SCALE = 1, 2, 3, 3, 7
local CAPACITY, REFILL, AT_ONCE = 11, 15, 20 -- of the last visitor, for who watches
local DONE, GRANTED, WAIT, LOST = 0, 1, 2, 3

local given = cjson.decode(ARGV[2]) -- numbers, each exact up to 2^53, where ARGV are strings
local id, visit, born, lapse, known_until = ARGV[1], given[1], given[2], given[3], given[4]
local pause, at_once, held, need_slots, more_slots = given[5], given[6], given[7], given[8], given[9]
local delay, terms = given[10], {}
for i = FIRST, #given - EACH, EACH do
  local scale = given[i + 4]
  terms[given[i + 1]] = {capacity = given[i + 2] * scale, refill = given[i + 3], scale = scale,
                         owed = given[i + 5], kept = given[i + 6], need = given[i + 7],
                         more = given[i + 8], gone = (given[i + 2] - given[i + 9]) * scale}
end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])

-- Who is here. What a worker held that was not seen for its lapse is free from now on. Nothing is
-- written before the bucket is, so that a server that refuses to write has written nothing.
local holders, count, gone, later = {}, 0, {}, {}
local before, living = {0, 0, 0, 0}, {0, 0, 0, 0} -- leased: until now, and from now on
local flat = redis.call('HGETALL', KEYS[2])
for i = 1, #flat, 2 do
  local entry = cmsgpack.unpack(flat[i + 1])
  for d = 1, DIMENSIONS do before[d] = before[d] + entry[KEPT + d] end
  if entry[SEEN] > now then                          -- the clock was set back
    entry[SEEN] = now
    later[flat[i]] = entry
  end
  if now - entry[SEEN] >= entry[LAPSE] then
    gone[#gone + 1] = flat[i]
  else
    holders[flat[i]] = entry
    count = count + 1
    for d = 1, DIMENSIONS do living[d] = living[d] + entry[KEPT + d] end
  end
end
local me = holders[id]
if not me and born == 0 then return string.format('%d %.0f 0 0 0 0 0 0 0 0 0 0 0 0 0', LOST, now) end
if me and me[VISIT] >= visit then                    -- its answer was lost on the way: once is enough
  return me[REPLY]
end
if not me then
  me = {}
  for i = 1, REPLY - 1 do me[i] = 0 end
  holders[id] = me
  count = count + 1
end

-- The bucket, refilled up to now. A server that forgot it begins with an empty one.
local stored = redis.call('GET', KEYS[1])
local function forgotten()
  local empty = {now}
  for i = 2, AT_ONCE do empty[i] = 0 end
  return empty
end
local bucket = stored and cmsgpack.unpack(stored) or forgotten()
if bucket[AT] > now then
  local back = bucket[AT] - now
  bucket[PAUSED], bucket[UNTIL] = math.max(0, bucket[PAUSED] - back), math.max(0, bucket[UNTIL] - back)
  bucket[AT] = now
end
if stored and bucket[UNTIL] <= now then              -- it has only not been swept yet
  stored, bucket, before = false, forgotten(), {0, 0, 0, 0}
end
local elapsed = now - bucket[AT]
for d, term in pairs(terms) do
  local spent, was = bucket[SPENT + d], bucket[SCALE + d]
  if not stored and now < known_until then spent = term.capacity end
  if was > 0 and was ~= term.scale then              -- the rate was changed
    local rest = spent % was
    spent = (spent - rest) / was * term.scale + math.ceil(rest * term.scale / was)
  end
  if elapsed >= math.ceil(spent / term.refill) then spent = 0 else spent = spent - elapsed * term.refill end
  bucket[SPENT + d] = math.max(spent, before[d] * term.scale)
  bucket[SCALE + d] = term.scale
end
for d = 1, DIMENSIONS do
  local term = terms[d]
  bucket[CAPACITY + d], bucket[REFILL + d] = term and term.capacity or 0, term and term.refill or 0
end
bucket[AT_ONCE] = at_once

-- What this worker has to say: what it owes or gives back, what it still holds.
local returned, places = #gone > 0 or held < me[SLOTS], {0, 0, 0, 0}
for d, term in pairs(terms) do
  returned = returned or term.owed < 0 or term.kept < me[KEPT + d]
end
me[SEEN], me[LAPSE], me[VISIT], me[SLOTS] = now, lapse, visit, held
for d = 1, DIMENSIONS do -- also those that are not limited any more
  living[d] = living[d] - me[KEPT + d]
  me[KEPT + d], me[NEED + d] = 0, 0
end
for d, term in pairs(terms) do
  local floor = (living[d] + term.kept) * term.scale
  me[KEPT + d] = term.kept
  me[NEED + d] = term.need
  places[d] = living[d] + term.kept
  bucket[SPENT + d] = math.max(bucket[SPENT + d] + term.owed * term.scale, floor, term.gone)
end
me[NEED_SLOTS] = need_slots
if pause > 0 then bucket[PAUSED] = math.max(bucket[PAUSED], now + pause) end

-- How long an entry has to wait, behind those that came before it.
local used, lapsing = 0, lapse
for _, entry in pairs(holders) do
  used = used + entry[SLOTS]
  local holds = entry[SLOTS]
  for d = 1, DIMENSIONS do holds = holds + entry[KEPT + d] end
  if holds > 0 and entry ~= me then
    lapsing = math.min(lapsing, entry[SEEN] + entry[LAPSE] - now)
  end
end

local function wait_of(entry)
  local slots, ahead, full = used + entry[NEED_SLOTS], {0, 0, 0, 0}, false
  for _, other in pairs(holders) do
    if other ~= entry and other[TICKET] > 0 and (entry[TICKET] == 0 or other[TICKET] < entry[TICKET]) then
      slots = slots + other[NEED_SLOTS]
      for d = 1, DIMENSIONS do ahead[d] = ahead[d] + other[NEED + d] end
    end
  end
  local wait = math.max(0, bucket[PAUSED] - now)
  for d, term in pairs(terms) do
    local need = entry[NEED + d]
    if need > 0 then
      local lack = bucket[SPENT + d] + (ahead[d] + need) * term.scale - term.capacity
      wait = math.max(wait, math.ceil(lack / term.refill))
      if (places[d] + ahead[d] + need) * term.scale > term.capacity then full = true end
    end
  end
  if entry[NEED_SLOTS] > 0 and at_once >= 0 and slots > at_once then full = true end
  if full then wait = math.max(wait, lapsing, 1) end -- or when somebody gives something back
  return wait
end

local needs = need_slots > 0
for _, term in pairs(terms) do needs = needs or term.need > 0 end
local status, wait, joined, left = DONE, 0, false, me[TICKET] > 0
local slots, grants = 0, {0, 0, 0, 0}
if needs then
  wait = wait_of(me)
  status = wait > 0 and WAIT or GRANTED
end

-- First in line: least ticket. One who waits keeps its place as long as it is seen.
local first, last, first_id = nil, 0, nil
for name, entry in pairs(holders) do
  if entry ~= me and entry[TICKET] > 0 then
    if not first or entry[TICKET] < first[TICKET] then first, first_id = entry, name end
    last = math.max(last, entry[TICKET])
  end
end
if status == WAIT then
  joined, left = me[TICKET] == 0, false
  if joined then me[TICKET] = last + 1 end
else
  me[TICKET], me[NEED_SLOTS] = 0, 0
  for d = 1, DIMENSIONS do me[NEED + d] = 0 end
end
if status == GRANTED then
  slots = need_slots
  if at_once >= 0 and not first then
    slots = slots + math.max(0, math.min(more_slots, math.floor((at_once - used - need_slots) / (2 * count))))
  end
  me[SLOTS] = held + slots
  for d, term in pairs(terms) do
    local free = term.capacity - bucket[SPENT + d] - term.need * term.scale
    local more = 0
    if not first then more = math.max(0, math.min(term.more, math.floor(free / (2 * count * term.scale)))) end
    grants[d] = term.need + more
    me[KEPT + d] = term.kept + grants[d]
    places[d] = places[d] + grants[d]
    if bucket[SPENT + d] == 0 and grants[d] > 0 then bucket[SPENT + d] = delay * term.refill end
    bucket[SPENT + d] = bucket[SPENT + d] + grants[d] * term.scale
  end
end

-- Those who wait are told when it can be sooner than they know; those who hold, that some wait.
local told = {}
if pause > 0 then told[1] = string.format('pause %s %.0f', id, bucket[PAUSED] - now) end
if joined then told[#told + 1] = 'recall ' .. id end
if first and (returned or left) then
  used = used + me[SLOTS] - held
  told[#told + 1] = string.format('wake %s %.0f', first_id, wait_of(first))
end

-- Everything is forgotten when it says no more than an empty key does.
bucket[AT] = now
local alive = 0
for _, entry in pairs(holders) do alive = math.max(alive, entry[SEEN] + entry[LAPSE] - now) end
local keep = math.max(bucket[PAUSED] - now, alive)
for d, term in pairs(terms) do
  local kept = 0 -- used as late as it can be, it runs off from then
  for _, entry in pairs(holders) do kept = kept + entry[KEPT + d] end
  keep = math.max(keep, math.ceil(bucket[SPENT + d] / term.refill))
  if kept > 0 then keep = math.max(keep, alive + math.ceil(kept * term.scale / term.refill)) end
end
bucket[UNTIL] = math.max(bucket[UNTIL], now + keep)
local ms = math.ceil((bucket[UNTIL] - now) / 1000) + 1
me[REPLY] = string.format('%d %.0f %.0f %.0f %d %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f',
  status, now, wait, bucket[UNTIL], first and 1 or 0, math.max(0, bucket[PAUSED] - now), slots,
  grants[1], grants[2], grants[3], grants[4],
  bucket[SPENT + 1], bucket[SPENT + 2], bucket[SPENT + 3], bucket[SPENT + 4])
redis.call('SET', KEYS[1], cmsgpack.pack(bucket), 'PX', string.format('%.0f', ms))
for _, name in ipairs(gone) do redis.call('HDEL', KEYS[2], name) end
later[id] = me
for name, entry in pairs(later) do
  if holders[name] then redis.call('HSET', KEYS[2], name, cmsgpack.pack(entry)) end
end
redis.call('PEXPIRE', KEYS[2], string.format('%.0f', ms))
for _, message in ipairs(told) do redis.call('PUBLISH', KEYS[1], message) end
return me[REPLY]
