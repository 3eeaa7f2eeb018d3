-- evictable: how many of the first `limit` ripe tasks, lowest LP first, rank within the lowest percentile of the pool.
-- Rank by position, so that ties do not make the whole pool evictable (_sampling/pool.py).
local function evictable(limit, percentile)
  if limit < 1 then
    return {}
  end
  local fresh, learning = pool .. 'fresh', pool .. 'learning'
  local ripe = call('ZRANGE', pool .. 'ripe', 0, limit - 1, 'WITHSCORES')
  local most = percentile * (call('ZCARD', fresh) + call('ZCARD', learning) + call('ZCARD', pool .. 'ripe'))
  local ids = {}
  for i = 1, #ripe, 2 do
    local below = '(' .. ripe[i + 1]
    local rank = #ids + call('ZCOUNT', fresh, '-inf', below) + call('ZCOUNT', learning, '-inf', below)
    if rank >= most then
      break
    end
    ids[#ids + 1] = ripe[i]
  end
  return ids
end
