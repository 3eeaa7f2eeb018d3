-- place_again: put a label where draws look for it, by its statistics as they are stored.
-- Needs: call, pool, place_label, unpack_label, whole_number
-- Gives: tasks_of, place_again
local function tasks_of(label)
  return whole_number(pool .. 'labels', label, call('HGET', pool .. 'labels', label) or '0')
end

local function place_again(label, tasks)
  local key = pool .. 'progress:' .. label
  local p, stats = { completion_count = 0 }, call('HGET', key, 'stats')
  if stats then
    unpack_label(p, stats, key)
  end
  place_label(label, p, tasks)
end
