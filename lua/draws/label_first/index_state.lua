-- index_state: what is kept of a label for the draws: its score in each set, its number of tasks.
-- Needs: call, pool
-- Gives: index_state
local function index_state(label)
  return {
    weights = call('ZSCORE', pool .. 'weights', label),
    masses = call('ZSCORE', pool .. 'masses', label),
    young = call('ZSCORE', pool .. 'young', label),
    members = call('ZCARD', pool .. 'members:' .. label),
  }
end
