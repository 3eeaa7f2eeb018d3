-- replace: evict the tasks of lowest learning progress and put new ones in their place, drawn by the caller.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] sequence int grows by one with each write of that worker
-- ARGV[4] lease_ms int renews the lease for so long; 0: not due
-- ARGV[5] pooled flag 1: pooling by label, 0: by task
-- ARGV[6] performance_bonus_weight float [0, 1]
-- ARGV[7] eviction_threshold_percentile float (0, 1]
-- ARGV[8] success_threshold float [0, 1]
-- ARGV[9] labels_retained int empty labels whose statistics stay
-- ARGV[10] events_retained int length of the event stream
-- ARGV[11] num_active_tasks int the pool's capacity
-- ARGV[12] next_index int the index the first task was generated for
-- ARGV[13..] specs groups of index int, task_id int, label str, label_hash int, params JSON; index from next_index on, ascending
-- Returns [repeated, wanted, next_index, missing, outcomes n, n outcomes..., then (id, label, params) of each drawn task]:
--   wanted draws shall be new tasks (call replace); missing: how many tasks the pool lacks to its capacity
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing; RCINDEX next_index: others created meanwhile
-- Atomic. Fewer are replaced where fewer may be evicted. O(specs x log pool).

local bonus = tonumber(performance_bonus_weight)
--@include keys
--@include clock
--@include guard
--@include reply
if repeated then
  return reply_again()
end
if meta[5] ~= next_index then
  return redis.error_reply('RCINDEX ' .. meta[5])
end
--@include evictable
--@include event
--@include created
--@include remove
local now, retained, drawn = now_ms(), tonumber(labels_retained), {}
local new_next_index, at = tonumber(next_index), specs_first
for _, id in ipairs(evictable((specs_last - specs_first + 1) / specs_width, tonumber(eviction_threshold_percentile))) do
  local label, lp = remove_task(id, now, retained)
  event(events_retained, 'event', 'evicted', 'task_id', id, 'label', label, 'learning_progress', lp, 'worker', worker)
  local new_id, new_label = specs[at + 1], specs[at + 2]
  create_task(new_id, new_label, specs[at + 3], specs[at + 4], success_threshold, now)
  event(events_retained, 'event', 'created', 'task_id', new_id, 'label', new_label, 'worker', worker)
  drawn[#drawn + 1] = new_id
  new_next_index, at = specs[at] + 1, at + specs_width
end
if drawn[1] then
  call('HSET', meta_key, 'next_index', new_next_index)
end
local size = call('ZCARD', pool .. 'fresh') + call('ZCARD', pool .. 'learning') + call('ZCARD', pool .. 'ripe')
return reply({}, drawn, 0, new_next_index, num_active_tasks - size)
