-- create: add new tasks to the pool, as many as there is room for.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] sequence int grows by one with each write of that worker
-- ARGV[4] lease_ms int renews the lease for so long; 0: not due
-- ARGV[5] success_threshold float [0, 1]
-- ARGV[6] events_retained int length of the event stream
-- ARGV[7] num_active_tasks int the pool's capacity
-- ARGV[8] next_index int the index the first task was generated for
-- ARGV[9..] specs groups of index int, task_id int, label str, label_hash int, params JSON; index from next_index on, ascending
-- Returns [repeated, created, next_index, missing]
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing; RCINDEX next_index: others created meanwhile
-- Atomic. O(specs).

--@include keys
--@include clock
--@include guard
local function size()
  return call('ZCARD', pool .. 'fresh') + call('ZCARD', pool .. 'learning') + call('ZCARD', pool .. 'ripe')
end
local capacity = tonumber(num_active_tasks)
if repeated then
  return { 1, 0, tonumber(meta[5]), math.max(0, capacity - size()) }
end
if meta[5] ~= next_index then
  return redis.error_reply('RCINDEX ' .. meta[5])
end
--@include event
--@include created
local now, missing = now_ms(), capacity - size()
local created = math.max(0, math.min(missing, (specs_last - specs_first + 1) / specs_width))
local new_next_index = tonumber(next_index)
for at = specs_first, specs_first + (created - 1) * specs_width, specs_width do
  create_task(specs[at + 1], specs[at + 2], specs[at + 3], specs[at + 4], success_threshold, now)
  new_next_index = specs[at] + 1
end
if created > 0 then
  local first_id, first_label = specs[specs_first + 1], specs[specs_first + 2]
  call('HSET', meta_key, 'next_index', new_next_index)
  event(events_retained, 'event', 'created', 'count', created, 'first_task_id', first_id, 'label', first_label,
    'worker', worker)
end
call('HSET', worker_key, 'sequence', sequence)
return { 0, created, new_next_index, math.max(0, missing - created) }
