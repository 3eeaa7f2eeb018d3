-- evict: take tasks out of the pool, with their label entries, indices and sums.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] sequence int grows by one with each write of that worker
-- ARGV[4] lease_ms int renews the lease for so long; 0: not due
-- ARGV[5..] task_ids int
-- Returns [repeated, flags...]: 1 evicted, 0 it was not in the pool; only [1] when repeated
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing; RCUNINDEXED version: reindex first; RCTYPE key: something else stands at one of our keys
-- Atomic. O(task_ids x log pool).

--@include keys
--@include clock
--@include guard
if repeated then
  return { 1 }
end
--@include event
--@include remove
local MOST_EVENTS = 16 -- the stream is capped: a removal of many is one event
local now, answer, all_gone = now_ms(), { 0 }, {}
for i = task_ids_first, task_ids_last do
  check_removal(task_ids[i])
end
for i = task_ids_first, task_ids_last do
  local id = task_ids[i]
  local gone = remove_task(id, now)
  answer[#answer + 1] = gone and 1 or 0
  if gone then
    gone.id = id
    all_gone[#all_gone + 1] = gone
  end
end
if #all_gone <= MOST_EVENTS then
  for _, gone in ipairs(all_gone) do
    event('event', 'evicted', 'task_id', gone.id, 'label', gone.label, 'learning_progress', gone.learning_progress or '',
      'worker', worker)
  end
else
  event('event', 'removed', 'count', #all_gone, 'first_task_id', all_gone[1].id, 'label', all_gone[1].label, 'worker',
    worker)
end
call('HSET', worker_key, 'sequence', sequence)
return answer
