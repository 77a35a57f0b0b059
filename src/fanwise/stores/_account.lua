-- One question about one tenant's budget: reserve, or settle.
--
-- KEYS  1 the account (a hash)
-- ARGV  1 the number of the reservation   2 a JSON list of integers:
--       settles (1) or reserves (0)  tokens  nanodollars
--       total of tokens (-1: no bound)  total of nanodollars  daily  lapse
--       3 the channel on which those who wait are told
-- Times are milliseconds of the server's clock. `_till.py` says what the words mean and is the twin.
-- The sender sees to it that no number passes 2^53.

local DAY = 86400000
local GRANTED, WAIT, SPENT = 0, 1, 2
local given = cjson.decode(ARGV[2])
local settles, tokens, money = given[1] == 1, given[2], given[3]
local total_tokens, total_money = given[4], given[5]
local daily, lapse = given[6] == 1, given[7]

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local day = daily and math.floor(now / DAY) or 0
local stored = redis.call('HMGET', KEYS[1], 'day', 'ut', 'un', 'rt', 'rn', 'w')
local book = {tonumber(stored[1] or day), tonumber(stored[2] or 0), tonumber(stored[3] or 0),
              tonumber(stored[4] or 0), tonumber(stored[5] or 0)}
local wanted = stored[6] == '1'
if book[1] < day then
  redis.call('DEL', KEYS[1])
  book, wanted = {day, 0, 0, 0, 0}, false
end

local function whole(number) return string.format('%.0f', number) end

local function answer(verdict, wait)
  return string.format('%d %.0f %.0f %.0f %.0f %.0f %.0f', verdict, book[2], book[3], book[4],
    book[5], wait, book[1])
end

local function write()
  redis.call('HSET', KEYS[1], 'day', whole(book[1]), 'ut', whole(book[2]), 'un', whole(book[3]),
    'rt', whole(book[4]), 'rn', whole(book[5]), 'w', wanted and '1' or '0')
  if daily then redis.call('PEXPIREAT', KEYS[1], whole((book[1] + 1) * DAY)) end
end

local function fits(used_tokens, used_money)
  return (total_tokens < 0 or used_tokens + tokens <= total_tokens)
    and (total_money < 0 or used_money + money <= total_money)
end

local entry = 'r:' .. ARGV[1]
local held = redis.call('HGET', KEYS[1], entry)
if settles then
  if held then
    local _, t, n = held:match('^(%d+) (%d+) (%d+)$')
    redis.call('HDEL', KEYS[1], entry)
    book[2], book[3] = book[2] + tokens, book[3] + money
    book[4], book[5] = book[4] - tonumber(t), book[5] - tonumber(n)
    if wanted then
      wanted = false
      redis.call('PUBLISH', ARGV[3], 'wake - 0')
    end
    write()
  end
  return answer(GRANTED, 0)
end
if held then return answer(GRANTED, 0) end
if (tokens == 0 and money == 0) or fits(book[2] + book[4], book[3] + book[5]) then
  book[4], book[5] = book[4] + tokens, book[5] + money
  write()
  redis.call('HSET', KEYS[1], entry, whole(now) .. ' ' .. whole(tokens) .. ' ' .. whole(money))
  return answer(GRANTED, 0)
end

-- What is reserved for too long counts as used: nobody waits for it.
local used_tokens, used_money = book[2], book[3]
local wait = daily and DAY - now % DAY or lapse
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do
  if flat[i]:sub(1, 2) == 'r:' then
    local since, t, n = flat[i + 1]:match('^(%d+) (%d+) (%d+)$')
    if tonumber(since) + lapse <= now then
      used_tokens, used_money = used_tokens + tonumber(t), used_money + tonumber(n)
    else
      wait = math.min(wait, tonumber(since) + lapse - now)
    end
  end
end
if not fits(used_tokens, used_money) then return answer(SPENT, 0) end
wanted = true
write()
return answer(WAIT, wait)
