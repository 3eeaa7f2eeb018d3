-- pool_statistics: what the family keeps of all tasks together: packed, in the field `stats` of the hash `statistics`.
-- Needs: call, pool, malformed
-- Gives: load_pool, store_pool
--@generated pool_statistics

-- Its fields are nil before the first result.
local function load_pool()
  local p = {}
  if POOL_STATISTICS[1] then
    local key = pool .. 'statistics'
    local data = call('HGET', key, 'stats')
    if data then
      if #data ~= 8 * #POOL_STATISTICS then
        malformed(key, 'stats', data)
      end
      unpack_pool(p, data)
    end
  end
  return p
end

local function store_pool(p)
  if POOL_STATISTICS[1] then
    local packed = pack_pool(p)
    call('HSET', pool .. 'statistics', 'stats', packed)
  end
end
