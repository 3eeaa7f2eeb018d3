-- pool_statistics: what the family keeps of all tasks together: packed, in the field `stats` of the hash `statistics`.
-- Needs: call, pool
-- Gives: load_pool, store_pool
--@generated pool_statistics

-- Its fields are nil before the first result.
local function load_pool()
  local p, data = {}, POOL_STATISTICS[1] and call('HGET', pool .. 'statistics', 'stats')
  if data then
    unpack_pool(p, data)
  end
  return p
end

local function store_pool(p)
  if POOL_STATISTICS[1] then
    call('HSET', pool .. 'statistics', 'stats', pack_pool(p))
  end
end
