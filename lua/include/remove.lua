-- remove: evict one task: record, sorted set, label entry and indices together. Returns what it was; nil if it has no record.
-- Needs: call, pool, load_task, save_task, save_label, index_leave, epoch_prefix, leave_label, check_pool, check_label,
--   forget_own, index_check, OWN_TASKS
-- Gives: check_removal, remove_task

-- See that all a removal changes can be read, before anything is written. Returns the task; nil if it has no record.
local function check_removal(id)
  local task = load_task(id)
  check_pool(id)
  if task then
    check_label(task.label, 'evictions')
    index_check(task.label, task)
  end
  return task
end

local function remove_task(id, now)
  local task = check_removal(id)
  if task then
    save_task(id)
    save_label(task.label)
  end
  for _, part in ipairs({ 'fresh', 'learning', 'ripe' }) do
    call('ZREM', pool .. part, id)
  end
  call('ZREM', pool .. 'task_weights', id)
  forget_own(OWN_TASKS, id)
  if not task then
    return nil
  end
  index_leave(id, task.label, task)
  call('UNLINK', task.key)
  call('HINCRBY', pool .. 'count:evictions', task.label, 1)
  call('HINCRBY', epoch_prefix .. 'evictions', task.label, 1)
  leave_label(id, task.label, now)
  return task
end
