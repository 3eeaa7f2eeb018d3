-- set_label: move a task to another label; what it completed stays with the old label's statistics.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] sequence int grows by one with each write of that worker
-- ARGV[4] lease_ms int renews the lease for so long; 0: not due
-- ARGV[5] task_id int
-- ARGV[6] label str the new label
-- Returns [repeated, 1 moved or 0 not in the pool]
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing; RCUNINDEXED version: reindex first
-- Atomic.

--@include keys
--@include clock
--@include guard
if repeated then
  return { 1, 0 }
end
--@include moment
--@include membership
--@include statistics
--@include check_label
local task = load_task(task_id)
if task and task.label ~= label then
  check_pool(task_id)
  check_label(task.label, 'completions')
  check_label(label, 'completions')
  index_check(task.label, task)
  index_check(label, task)
  save_task(task_id)
  save_label(task.label)
  save_label(label)
  index_leave(task_id, task.label, task)
  call('HSET', task.key, 'label', label)
  join_label(task_id, label)
  index_join(task_id, label, task)
  leave_label(task_id, task.label, now_ms())
end
call('HSET', worker_key, 'sequence', sequence)
return { 0, task and 1 or 0 }
