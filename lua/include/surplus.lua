-- surplus: tasks that the pool has no room for, lowest first.
-- Needs: call, pool, num_active_tasks, now_ms, event, remove_task
-- Gives: remove_surplus
local function lowest()
  local found, least = nil, math.huge
  for _, part in ipairs({ 'fresh', 'learning', 'ripe' }) do
    local first = call('ZRANGE', pool .. part, 0, 0, 'WITHSCORES')
    if first[1] and tonumber(first[2]) < least then
      found, least = first[1], tonumber(first[2])
    end
  end
  return found
end

-- Removes up to `most` of the `wanted` that are to go, as long as there are more than num_active_tasks. Returns how many are
-- left to go.
local function remove_surplus(wanted, most)
  local surplus, now = -num_active_tasks, now_ms()
  for _, part in ipairs({ 'fresh', 'learning', 'ripe' }) do
    surplus = surplus + call('ZCARD', pool .. part)
  end
  wanted = math.max(0, math.min(wanted, surplus))
  for _ = 1, math.min(wanted, most) do
    local id = lowest()
    local gone = remove_task(id, now)
    if gone then
      event('event', 'evicted', 'task_id', id, 'label', gone.label, 'learning_progress', gone.learning_progress or '')
    end
  end
  return math.max(0, wanted - most)
end
