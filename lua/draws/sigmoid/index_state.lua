-- index_state: what is kept of a label for the draws.
-- Needs: call, pool
-- Gives: index_state, index_sums
local function index_state(label)
  return { eligible_count = call('HGET', pool .. 'progress:' .. label, 'eligible_count') }
end

local function index_sums()
  local flat = {}
  for _, name in ipairs({ 's', 'q0', 'q1', 'q2' }) do
    local sum = call('HGET', pool .. 'weight_sums', name)
    if sum then
      flat[#flat + 1], flat[#flat + 2] = name, sum
    end
  end
  return flat
end
