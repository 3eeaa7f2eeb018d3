-- created: put a new task into the pool, under-sampled. The caller has checked that there is room.
-- Needs: call, pool, save_task, save_label, epoch_prefix
-- Gives: create_task
local function create_task(id, label, label_hash, params, threshold, created_ms)
  save_task(id)
  save_label(label)
  call('HSET', pool .. 'task:' .. id, 'completion_count', 0, 'sample_count', 0, 'label', label, 'params', params,
    'task_id', id, 'label_hash', label_hash, 'created_ms', created_ms, 'failure_count', 0, 'total_score', 0,
    'success_threshold', threshold)
  call('ZADD', pool .. 'fresh', 0, id)
  call('SADD', pool .. 'label:' .. label, id)
  if call('HINCRBY', pool .. 'labels', label, 1) == 1 then
    call('ZREM', pool .. 'inactive', label)
  end
  call('HINCRBY', pool .. 'count:created', label, 1)
  call('HINCRBY', epoch_prefix .. 'created', label, 1)
end
