-- mend: put right what the draws keep.
-- Needs: call, meta_key, place_again, tasks_of
-- Gives: index_mend, index_add
local function index_mend(label)
  place_again(label, tasks_of(label))
end

-- A sum, or the size of a cell, is wrong: all is built anew (reindex).
local function index_add()
  call('HSET', meta_key, 'unindexed', 'start 0 0')
end
