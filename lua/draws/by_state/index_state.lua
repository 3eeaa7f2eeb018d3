-- index_state: what is kept of a label for the draws: its score in each set; and of all tasks: the sums and sizes of the cells.
-- Needs: call, pool
-- Gives: index_state, index_sums
local function index_state(label)
  return { weights = call('ZSCORE', pool .. 'weights', label), young = call('ZSCORE', pool .. 'young', label) }
end

local function index_sums()
  local found = call('HGETALL', pool .. 'cell_sums')
  for i = 1, #found, 2 do
    found[#found + 1] = 'size:' .. found[i]
    found[#found + 1] = string.format('%d', call('ZCARD', pool .. 'cell:' .. found[i]))
  end
  return found
end
