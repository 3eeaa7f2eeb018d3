-- index_state: what is kept of a label for the draws: its score in each set, its number of tasks.
-- Needs: call, pool, JUDGED_GROUPS, YOUNG_GROUPS
-- Gives: index_state, index_sums
local function index_state(label)
  return {
    weights = call('ZSCORE', pool .. 'weights', label),
    masses = call('ZSCORE', pool .. 'masses', label),
    young = call('ZSCORE', pool .. 'young', label),
    members = call('ZCARD', pool .. 'members:' .. label),
  }
end

-- Place and number of all that `groups` holds and is not 0.
local function index_sums()
  local words, found = { 'GET', 'i64', '#0', 'GET', 'i64', '#1' }, {}
  for place = 2, 1 + JUDGED_GROUPS + YOUNG_GROUPS do
    local n = #words
    words[n + 1], words[n + 2], words[n + 3] = 'GET', 'u32', '#' .. place + 2
  end
  for i, number in ipairs(call('BITFIELD', pool .. 'groups', unpack(words))) do
    if number ~= 0 then
      found[#found + 1] = string.format('%d', i - 1)
      found[#found + 1] = string.format('%.0f', number)
    end
  end
  return found
end
