-- evictable: those of the first `limit` ripe tasks, lowest rank first, that stand within the lowest share of the pool.
-- By place, so that ties do not make the whole pool evictable (_sampling/pool.py).
-- Needs: call, pool, evictable_share
-- Gives: evictable, count_evictable
local function evictable(limit)
  if limit < 1 then
    return {}
  end
  local fresh, learning = pool .. 'fresh', pool .. 'learning'
  local ripe = call('ZRANGE', pool .. 'ripe', 0, limit - 1, 'WITHSCORES')
  local most = evictable_share * (call('ZCARD', fresh) + call('ZCARD', learning) + call('ZCARD', pool .. 'ripe'))
  local ids = {}
  for i = 1, #ripe, 2 do
    local below = '(' .. ripe[i + 1]
    local place = #ids + call('ZCOUNT', fresh, '-inf', below) + call('ZCOUNT', learning, '-inf', below)
    if place >= most then
      break
    end
    ids[#ids + 1] = ripe[i]
  end
  return ids
end

local function count_evictable(limit)
  return #evictable(limit)
end
