-- fail: count a task that could not be built or run, once; take it out of the pool after too many failures in a row.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] sequence int grows by one with each write of that worker
-- ARGV[4] lease_ms int renews the lease for so long; 0: not due
-- ARGV[5] permanent flag 1: the task goes at once, 0: after too many failures in a row
-- ARGV[6] quarantine_retained int messages of tasks that went
-- ARGV[7] task_id int
-- ARGV[8] error str the message
-- Returns [repeated, 2 quarantined, 1 counted or 0 not in the pool, missing]
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing; RCUNINDEXED version: reindex first; RCTYPE key: something else stands at one of our keys
-- Atomic. O(log pool).

--@include keys
--@include clock
--@include guard
--@include hypers
local function answer(is_repeated, outcome)
  local size = call('ZCARD', pool .. 'fresh') + call('ZCARD', pool .. 'learning') + call('ZCARD', pool .. 'ripe')
  return { is_repeated, outcome, math.max(0, num_active_tasks - size) }
end
if repeated then
  return answer(1, 1)
end
--@include moment
--@include event
--@include check_label
--@include remove
local outcome, key = 1, pool .. 'task:' .. task_id
local task = call('HMGET', key, 'label', 'consecutive_failures', 'failure_count')
local label, in_a_row = task[1], whole_number(key, 'consecutive_failures', task[2] or '0') + 1
whole_number(key, 'failure_count', task[3] or '0')
if label then
  check_label(label, 'failures')
  check_removal(task_id)
else
  check_pool(task_id)
end

local function count_failure()
  if failure_score == failure_score then -- it is a number: a failure is folded like any score
    local results, results_first, results_last = { task_id, failure_score }, 1, 2
    --@include results
  end
  save_task(task_id)
  save_label(label)
  call('HINCRBY', key, 'failure_count', 1)
  call('HSET', key, 'consecutive_failures', in_a_row, 'last_error', error)
  call('HINCRBY', pool .. 'count:failures', label, 1)
  call('HINCRBY', epoch_prefix .. 'failures', label, 1)
  event('event', 'failed', 'task_id', task_id, 'label', label, 'error', error, 'worker', worker)
end

-- The oldest message is not known.
local function quarantine()
  remove_task(task_id, now_ms())
  local surplus = call('HLEN', pool .. 'quarantine') + 1 - quarantine_retained
  if surplus > 0 then
    call('HDEL', pool .. 'quarantine', unpack(call('HRANDFIELD', pool .. 'quarantine', math.min(surplus, 100))))
  end
  call('HSET', pool .. 'quarantine', task_id, error)
  event('event', 'quarantined', 'task_id', task_id, 'label', label, 'error', error, 'worker', worker)
end

if not label then
  outcome = 0
  whole_number(meta_key, 'late_count', call('HGET', meta_key, 'late_count') or '0')
  call('HINCRBY', meta_key, 'late_count', 1)
else
  count_failure()
  if permanent or in_a_row >= max_consecutive_failures then
    outcome = 2
    quarantine()
  end
end
call('HSET', worker_key, 'sequence', sequence)
return answer(0, outcome)
