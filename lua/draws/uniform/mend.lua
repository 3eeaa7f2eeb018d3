-- mend: what a family's own draws keep follows from the records, so it is built anew (reindex).
-- Needs: call, meta_key
-- Gives: index_mend, index_add
local function index_mend() end

local function index_add()
  call('HSET', meta_key, 'unindexed', 'start 0 0')
end
