-- weighted: draws by the weights that a trainer has set: a pick is accepted with its weight / the largest (_sampling/weighted.py).
-- Needs: call, pool, all_count, uniform, is_spent, packed_quotas
-- Gives: weighted_picks
local WEIGHTED_TRIALS = 1024
local function weighted_picks(pick, count)
  local key, left = pool .. 'task_weights', WEIGHTED_TRIALS + 16 * count
  local top = call('ZREVRANGE', key, 0, 0, 'WITHSCORES')
  if not top[1] then
    return pick
  end
  local largest = tonumber(top[2])
  if call('ZCARD', key) < all_count then -- the others have weight 1
    largest = math.max(largest, 1)
  end
  return function()
    if packed_quotas ~= '' or largest == 0 then -- the caller chooses, by what the stream is then
      uniform()
      return nil
    end
    while left > 0 and not is_spent do
      left = left - 1
      local id = pick()
      if not id or uniform() * largest < (tonumber(call('ZSCORE', key, id)) or 1) then
        return id
      end
    end
  end
end
