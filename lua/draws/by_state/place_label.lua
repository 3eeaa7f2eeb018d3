-- place_label: put a label into the sorted set that says what its tasks count: `weights`, or `young` while it has few results.
-- Only where labels count.
-- Needs: call, pool, label_weight, label_factor_is_progress, unpack_label
-- Gives: place_label, place_again, tasks_of
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

local function tasks_of(label)
  return tonumber(call('HGET', pool .. 'labels', label) or 0)
end

local function place_again(label, tasks)
  local p, stats = { completion_count = 0 }, call('HGET', pool .. 'progress:' .. label, 'stats')
  if stats then
    unpack_label(p, stats)
  end
  place_label(label, p, tasks)
end
