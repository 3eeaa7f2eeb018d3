-- set_label: move a task to another label; what it completed stays with the old label's statistics.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] sequence int grows by one with each write of that worker
-- ARGV[4] lease_ms int renews the lease for so long; 0: not due
-- ARGV[5] pooled flag 1: pooling by label, 0: by task
-- ARGV[6] performance_bonus_weight float [0, 1]
-- ARGV[7] labels_retained int empty labels whose statistics stay
-- ARGV[8] task_id int
-- ARGV[9] label str the new label
-- ARGV[10] label_hash int first 8 bytes of SHA-256 of the label, low 53 bits
-- Returns [repeated, 1 moved or 0 not in the pool]
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing
-- Atomic.

local bonus = tonumber(performance_bonus_weight)
--@include keys
--@include clock
--@include guard
if repeated then
  return { 1, 0 }
end
--@include moment
--@include leave
local key = pool .. 'task:' .. task_id
local task = call('HMGET', key, 'label', 'learning_progress', 'p_true')
local old = task[1]
if old and old ~= label then
  save_task(task_id)
  save_label(old)
  save_label(label)
  if not call('ZSCORE', pool .. 'fresh', task_id) then
    shift_eligible(old, -1, tonumber(task[2]), tonumber(task[3]))
    shift_eligible(label, 1, tonumber(task[2]), tonumber(task[3]))
  end
  call('HSET', key, 'label', label, 'label_hash', label_hash)
  call('SADD', pool .. 'label:' .. label, task_id)
  if call('HINCRBY', pool .. 'labels', label, 1) == 1 then
    call('ZREM', pool .. 'inactive', label)
  end
  leave_label(task_id, old, now_ms(), tonumber(labels_retained))
end
call('HSET', worker_key, 'sequence', sequence)
return { 0, old and 1 or 0 }
