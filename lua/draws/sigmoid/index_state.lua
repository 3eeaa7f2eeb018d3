-- index_state: what is kept of a label for the draws.
-- Needs: call, pool
-- Gives: index_state, index_sums
local function index_state(label)
  return { eligible_count = call('HGET', pool .. 'progress:' .. label, 'eligible_count') }
end

local function index_sums()
  return call('HGETALL', pool .. 'weight_sums')
end
