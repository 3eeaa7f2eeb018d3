-- index_state: what is kept of a label for the draws.
-- Gives: index_state, index_sums
local function index_state()
  return {}
end

local index_sums = index_state
