-- evictable: any ripe tasks, each as likely (_sampling/pool.py).
-- Needs: call, pool, index, store_random
-- Gives: evictable, count_evictable
local function count_evictable()
  return call('ZCARD', pool .. 'ripe')
end

-- So many different ones, by Floyd's algorithm: the j-th is any of the first n - limit + j, or the last of these if that
-- one is taken.
local function evictable(limit)
  local ids, taken, n = {}, {}, count_evictable()
  for last = n - math.min(limit, n), n - 1 do
    local place = index(last + 1)
    place = taken[place] and last or place
    taken[place] = true
    place = string.format('%d', place)
    ids[#ids + 1] = call('ZRANGE', pool .. 'ripe', place, place)[1]
  end
  store_random()
  return ids
end
