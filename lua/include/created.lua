-- created: put a new task into the pool, fresh. The caller has checked that there is room.
-- Needs: call, pool, save_task, save_label, epoch_prefix, join_label, index_join, check_pool, check_label, begin_own, index_check,
--   OWN_TASKS
-- Gives: check_creation, create_task
local function check_creation(id, label)
  check_pool(id)
  check_label(label, 'created')
  index_check(label, { completion_count = 0 })
end

local function create_task(id, label, params, created_ms)
  check_creation(id, label)
  save_task(id)
  save_label(label)
  call('HSET', pool .. 'task:' .. id, 'label', label, 'params', params, 'created_ms', created_ms, 'completion_count', 0,
    'sample_count', 0, 'failure_count', 0)
  call('ZADD', pool .. 'fresh', 0, id)
  begin_own(OWN_TASKS, id)
  join_label(id, label)
  index_join(id, label, { completion_count = 0 })
  call('HINCRBY', pool .. 'count:created', label, 1)
  call('HINCRBY', epoch_prefix .. 'created', label, 1)
end
