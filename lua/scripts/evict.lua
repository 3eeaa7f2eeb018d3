-- evict: take tasks out of the pool, with their label entries, indices and sums.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] sequence int grows by one with each write of that worker
-- ARGV[4] lease_ms int renews the lease for so long; 0: not due
-- ARGV[5] pooled flag 1: pooling by label, 0: by task
-- ARGV[6] performance_bonus_weight float [0, 1]
-- ARGV[7] labels_retained int empty labels whose statistics stay
-- ARGV[8] events_retained int length of the event stream
-- ARGV[9..] task_ids int
-- Returns [repeated, flags...]: 1 evicted, 0 it was not in the pool; only [1] when repeated
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing
-- Atomic. O(task_ids x log pool).

local bonus = tonumber(performance_bonus_weight)
--@include keys
--@include clock
--@include guard
if repeated then
  return { 1 }
end
--@include event
--@include remove
local now, answer = now_ms(), { 0 }
for i = task_ids_first, task_ids_last do
  local id = task_ids[i]
  local label, lp = remove_task(id, now, tonumber(labels_retained))
  answer[#answer + 1] = label and 1 or 0
  if label then
    event(events_retained, 'event', 'evicted', 'task_id', id, 'label', label, 'learning_progress', lp, 'worker', worker)
  end
end
call('HSET', worker_key, 'sequence', sequence)
return answer
