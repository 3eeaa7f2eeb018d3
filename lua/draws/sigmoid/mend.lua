-- mend: put right what the draws keep.
-- Needs: call, pool, shift
-- Gives: index_mend, index_add

-- By so many is a label's number of eligible tasks too small; the sums of own weights are mended by themselves.
local function index_mend(label, by)
  shift(label, tonumber(by))
end

local function index_add(field, amount)
  call('HINCRBY', pool .. 'weight_sums', field, amount)
end
