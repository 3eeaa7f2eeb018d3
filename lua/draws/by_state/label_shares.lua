-- label_shares: what a task of each label counts, by its label's share of the draws; one row without a name where labels do
-- not count.
-- Needs: call, pool, label_factor_is_progress, whole_number
-- Gives: label_shares
local LABEL_FLOOR = 0.15

-- Labels by weight, then those with few results, which weigh as much as the largest known weight (1 if none is known).
local function label_shares()
  if not label_factor_is_progress then
    return { { label = '', share = 1 } }
  end
  local known = call('ZRANGE', pool .. 'weights', 0, -1, 'WITHSCORES')
  local young, rows, sum = call('ZRANGE', pool .. 'young', 0, -1), {}, 0
  local largest = known[1] and tonumber(known[#known]) or 1
  for i = 1, #known, 2 do
    rows[#rows + 1] = { label = known[i], weight = tonumber(known[i + 1]) }
  end
  for _, label in ipairs(young) do
    rows[#rows + 1] = { label = label, weight = largest }
  end
  for _, row in ipairs(rows) do
    sum = sum + row.weight
  end
  for _, row in ipairs(rows) do
    local share = LABEL_FLOOR / #rows + (1 - LABEL_FLOOR) * row.weight / sum
    row.share = share / whole_number(pool .. 'labels', row.label, call('HGET', pool .. 'labels', row.label) or '1')
  end
  return rows
end
