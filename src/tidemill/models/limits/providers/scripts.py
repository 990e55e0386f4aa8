"""The same state machines as `windows` and `memory`, in Lua: each runs on the server as one step, by the server's clock.

A minute is a hash: `h` the newest slot, `s` the sum, and a field for each slot of a second modulo 61. A period is a hash: `u`
what was used, and what each process holds under its id. A level has only the latter. What a process held that has not said
for a while that it is alive counts no more.
"""

from typing import Final

_COMMON: Final = """
local KEEP = 61
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
if ARGV[1] ~= '' then now = tonumber(ARGV[1]) end
local me = ARGV[2]

local function number(value) return tonumber(value or '0') or 0 end
local function text(value) return string.format('%.0f', value) end

local known = {}
local function lives(process)
  if process == me then return true end
  if known[process] == nil then known[process] = redis.call('EXISTS', ARGV[3] .. process) == 1 end
  return known[process]
end

local function advance(key)
  local second = math.floor(now)
  local found = redis.call('HMGET', key, 'h', 's')
  if not found[1] then return second, 0 end
  local head, sum = number(found[1]), number(found[2])
  local gap = second - head
  if gap <= 0 then
    if gap >= -KEEP then return head, sum end
    redis.call('DEL', key)
    redis.call('HSET', key, 'h', text(second), 's', text(sum), text(second % KEEP), text(sum))
    return second, sum
  end
  if sum == 0 or gap >= KEEP then
    redis.call('DEL', key)
    return second, 0
  end
  local fields = {}
  for slot = head + 1, second do fields[#fields + 1] = text(slot % KEEP) end
  local values = redis.call('HMGET', key, unpack(fields))
  for _, value in ipairs(values) do if value then sum = sum - number(value) end end
  redis.call('HDEL', key, unpack(fields))
  redis.call('HSET', key, 'h', text(second), 's', text(sum))
  return second, sum
end

local function held(key)
  local found = redis.call('HGETALL', key)
  local used, others = 0, 0
  for index = 1, #found, 2 do
    if found[index] == 'u' then used = number(found[index + 1])
    elseif lives(found[index]) then others = others + number(found[index + 1])
    else redis.call('HDEL', key, found[index]) end
  end
  return used, others
end
"""

RESERVE: Final = (
    _COMMON
    + """
local function wait(key, head, sum, amount, limit)
  if amount > limit then return '' end
  local excess = sum + amount - limit
  local found = redis.call('HGETALL', key)
  local slots = {}
  for index = 1, #found, 2 do slots[found[index]] = number(found[index + 1]) end
  for slot = head - KEEP + 1, head do
    excess = excess - (slots[text(slot % KEEP)] or 0)
    if excess <= 0 then return tostring(math.max(0, slot + KEEP - now)) end
  end
  return '0'
end

local n = #KEYS
local missing = {}
for i = 1, n do
  if ARGV[i * 4] == 'period' and redis.call('HEXISTS', KEYS[i], 'u') == 0 then missing[#missing + 1] = i end
end
if #missing > 0 then return {'unseeded', missing} end

local counts, heads, refused = {}, {}, nil
for i = 1, n do
  local shape, limit, amount = ARGV[i * 4], tonumber(ARGV[i * 4 + 1]), tonumber(ARGV[i * 4 + 2])
  if shape == 'minute' then
    heads[i], counts[i] = advance(KEYS[i])
    if not refused and counts[i] + amount > limit then
      refused = {i, 0, wait(KEYS[i], heads[i], counts[i], amount, limit)}
    end
  else
    local used, others = held(KEYS[i])
    counts[i], heads[i] = used + others, 0
    if not refused and counts[i] + amount > limit then
      local gone = 0
      if amount > limit or (shape == 'period' and used + amount > limit) then gone = 1 end
      refused = {i, gone, ''}
    end
  end
end
local shown = {}
if refused then
  for i = 1, n do shown[i] = text(counts[i]) end
  return {'short', refused[1], refused[2], refused[3], shown, tostring(now)}
end
local slots = {}
for i = 1, n do
  local shape, amount, ttl = ARGV[i * 4], tonumber(ARGV[i * 4 + 2]), ARGV[i * 4 + 3]
  if shape == 'minute' then
    redis.call('HSET', KEYS[i], 'h', text(heads[i]))
    redis.call('HINCRBY', KEYS[i], 's', text(amount))
    redis.call('HINCRBY', KEYS[i], text(heads[i] % KEEP), text(amount))
  else
    redis.call('HINCRBY', KEYS[i], me, text(amount))
  end
  redis.call('EXPIRE', KEYS[i], ttl)
  shown[i] = text(counts[i] + amount)
  slots[i] = heads[i]
end
return {'granted', slots, shown, tostring(now)}
"""
)
"""Keys: of the claims. Arguments: now (empty: the server's), process, prefix of the living; of each claim shape, limit, amount,
seconds to keep."""

SETTLE: Final = (
    _COMMON
    + """
local function give_back(key, amount)
  local left = number(redis.call('HGET', key, me)) - amount
  if left > 0 then redis.call('HSET', key, me, text(left)) else redis.call('HDEL', key, me) end
end

local shown = {}
for i = 1, #KEYS do
  local shape, slot = ARGV[i * 4], tonumber(ARGV[i * 4 + 1])
  local amount, used = tonumber(ARGV[i * 4 + 2]), math.max(0, tonumber(ARGV[i * 4 + 3]))
  if shape == 'minute' then
    local head, sum = advance(KEYS[i])
    local more = used - amount
    if slot > head - KEEP and slot <= head then
      more = math.max(more, -number(redis.call('HGET', KEYS[i], text(slot % KEEP))))
    else
      more, slot = math.max(more, 0), head
    end
    if more ~= 0 then
      redis.call('HSET', KEYS[i], 'h', text(head))
      redis.call('HINCRBY', KEYS[i], text(slot % KEEP), text(more))
      redis.call('HINCRBY', KEYS[i], 's', text(more))
      redis.call('EXPIRE', KEYS[i], 180)
    end
    shown[i] = text(sum + more)
  else
    give_back(KEYS[i], amount)
    if shape == 'period' and redis.call('HEXISTS', KEYS[i], 'u') == 1 then redis.call('HINCRBY', KEYS[i], 'u', text(used)) end
    local total, others = held(KEYS[i])
    if shape == 'level' then total = others end
    shown[i] = text(total)
  end
end
return shown
"""
)
"""Keys: of the claims. Arguments: as for `RESERVE`; of each claim shape, slot, what was reserved, what was used."""

SEED: Final = """
for i = 1, #KEYS do
  local stands, given = redis.call('HGET', KEYS[i], 'u'), ARGV[i * 2 - 1]
  if not stands or tonumber(stands) < tonumber(given) then redis.call('HSET', KEYS[i], 'u', given) end
  redis.call('EXPIRE', KEYS[i], ARGV[i * 2])
end
return 'OK'
"""
"""Keys: of the periods. Arguments: of each what was used at least, seconds to keep."""
