-- index_state: what is kept of a label for the draws.
-- Gives: index_state
local function index_state()
  return {}
end
