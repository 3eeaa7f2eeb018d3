-- strata: pieces of the sorted sets that envelop the chances of their tasks, and a pick among them. Strata of descending
-- weight, each a quarter of what lies above it: the envelope exceeds the mass by a quarter at most.
-- Needs: call, pool, learning_count, ripe_count, uniform, index, acceptance, MOST_TRIALS
-- Gives: pick_stratified
local strata = { total = 0 }
for _, part in ipairs({ 'learning', 'ripe' }) do
  local count, start = part == 'learning' and learning_count or ripe_count, 0
  while start < count do
    local size = math.min(math.max(1, math.floor(start / 4)), count - start)
    local top = call('ZREVRANGE', pool .. part, start, start, 'WITHSCORES')
    local a = acceptance(tonumber(top[2]))
    strata.total = strata.total + size * a
    strata[#strata + 1] = { part = part, start = start, size = size, top = a, upto = strata.total, id = top[1] }
    start = start + size
  end
end

local function pick_stratified()
  for _ = 1, MOST_TRIALS do
    local v, low, high = uniform() * strata.total, 1, #strata
    while low < high do
      local middle = math.floor((low + high) / 2)
      if v < strata[middle].upto then
        high = middle
      else
        low = middle + 1
      end
    end
    local stratum = strata[low]
    if stratum.size == 1 then
      return stratum.id
    end
    local place = string.format('%d', stratum.start + index(stratum.size))
    local found = call('ZREVRANGE', pool .. stratum.part, place, place, 'WITHSCORES')
    if uniform() * stratum.top < acceptance(tonumber(found[2])) then
      return found[1]
    end
  end
end
