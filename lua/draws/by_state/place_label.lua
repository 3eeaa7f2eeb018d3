-- place_label: put a label into the sorted set that says what its tasks count: `weights`, or `young` while it has few results.
-- Only where labels count.
-- Needs: call, pool, label_weight, label_factor_is_progress
-- Gives: place_label
local LEAST_RESULTS = 20

local function place_label(label, p, tasks)
  local weights, young = pool .. 'weights', pool .. 'young'
  if tasks == 0 or not label_factor_is_progress then
    call('ZREM', weights, label)
    call('ZREM', young, label)
  elseif p.completion_count < LEAST_RESULTS then
    call('ZREM', weights, label)
    call('ZADD', young, 1, label)
  else
    call('ZREM', young, label)
    call('ZADD', weights, label_weight(p), label)
  end
end
