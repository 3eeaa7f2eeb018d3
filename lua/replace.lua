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
-- ARGV[13..] specs groups of five: index int, task_id int, label str, label_hash int, params JSON; index from next_index on, ascending
-- Returns [repeated, wanted, next_index, missing, outcomes n, n outcomes..., then (id, label, params) of each drawn task]:
--   wanted draws shall be new tasks (call replace); missing: how many tasks the pool lacks to its capacity
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing; RCINDEX next_index: others created meanwhile
-- Atomic. Fewer are replaced where fewer may be evicted. O(specs x log pool).

local pooled, bonus = ARGV[5] == '1', tonumber(ARGV[6])
--@include keys
--@include clock
--@include guard
--@include moment
--@include count_samples
--@include reply
if repeated then
  return reply_again()
end
if meta[5] ~= ARGV[12] then
  return redis.error_reply('RCINDEX ' .. meta[5])
end
--@include sums
--@include evictable
--@include event
--@include created
--@include leave
--@include remove
local now, retained, drawn = now_ms(), tonumber(ARGV[9]), {}
for i, id in ipairs(evictable((#ARGV - 12) / 5, tonumber(ARGV[7]))) do
  local label, lp = remove_task(id, now, retained)
  event(ARGV[10], 'event', 'evicted', 'task_id', id, 'label', label, 'learning_progress', lp, 'worker', ARGV[2])
  local at = 9 + 5 * i
  create_task(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[8], now)
  event(ARGV[10], 'event', 'created', 'task_id', ARGV[at], 'label', ARGV[at + 1], 'worker', ARGV[2])
  drawn[i] = ARGV[at]
end
local next_index = tonumber(meta[5])
if drawn[1] then
  next_index = ARGV[8 + 5 * #drawn] + 1
  call('HSET', KEYS[1], 'next_index', next_index)
end
local size = call('ZCARD', pool .. 'fresh') + call('ZCARD', pool .. 'learning') + call('ZCARD', pool .. 'ripe')
return reply({}, drawn, 0, next_index, ARGV[11] - size)
