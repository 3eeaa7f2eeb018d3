-- set_weights: multiply the probabilities of some tasks by factors that the trainer chooses.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] sequence int grows by one with each write of that worker
-- ARGV[4] lease_ms int renews the lease for so long; 0: not due
-- ARGV[5..] specs groups of task_id int, weight float [0, 1000000]; 1 is what a task has before
-- Returns [repeated, flags...]: 1 set, 0 not in the pool; only [1] when repeated
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing; RCUNINDEXED version: reindex first; RCTYPE key: something else stands at one of our keys
-- Atomic. O(specs x log pool).

--@include keys
--@include guard
if repeated then
  return { 1 }
end
--@include moment
--@include event
of_kind('zset', pool .. 'task_weights')
for at = specs_first, specs_last, specs_width do
  of_kind('hash', pool .. 'task:' .. specs[at])
end
local answer, first, count = { 0 }, nil, 0
for at = specs_first, specs_last, specs_width do
  local id, weight = specs[at], specs[at + 1]
  local key = pool .. 'task:' .. id
  local is_there = call('EXISTS', key) == 1
  if is_there then
    save_task(id)
    if tonumber(weight) == 1 then
      call('HDEL', key, 'weight')
      call('ZREM', pool .. 'task_weights', id)
    else
      call('HSET', key, 'weight', weight)
      call('ZADD', pool .. 'task_weights', weight, id)
    end
    first, count = first or id, count + 1
  end
  answer[#answer + 1] = is_there and 1 or 0
end
if count > 0 then
  call('HSET', meta_key, 'weighted', 1)
  event('event', 'weighted', 'count', count, 'first_task_id', first, 'worker', worker)
end
call('HSET', worker_key, 'sequence', sequence)
return answer
