-- remove: evict one task: record, sorted set, label entry and sums together. Returns its label and LP, or nil.
-- Needs: call, pool, save_task, save_label, shift_eligible, epoch_prefix, leave_label
-- Gives: remove_task
local function remove_task(id, now, labels_retained)
  local key = pool .. 'task:' .. id
  local task = call('HMGET', key, 'label', 'learning_progress', 'p_true')
  local label = task[1]
  if not label then
    return nil
  end
  save_task(id)
  save_label(label)
  local under_sampled = call('ZREM', pool .. 'fresh', id) == 1
  if not under_sampled then
    if call('ZREM', pool .. 'learning', id) == 0 then
      call('ZREM', pool .. 'ripe', id)
    end
    shift_eligible(label, -1, tonumber(task[2]), tonumber(task[3]))
  end
  call('UNLINK', key)
  call('HINCRBY', pool .. 'count:evictions', label, 1)
  call('HINCRBY', epoch_prefix .. 'evictions', label, 1)
  leave_label(id, label, now, labels_retained)
  return label, task[2] or ''
end
