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
-- ARGV[9..] specs groups of five: index int, task_id int, label str, label_hash int, params JSON; index from next_index on, ascending
-- Returns [repeated, created, next_index, missing]
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing; RCINDEX next_index: others created meanwhile
-- Atomic. O(specs).

--@include keys
--@include clock
--@include guard
local function size()
  return call('ZCARD', pool .. 'fresh') + call('ZCARD', pool .. 'learning') + call('ZCARD', pool .. 'ripe')
end
local capacity = tonumber(ARGV[7])
if repeated then
  return { 1, 0, tonumber(meta[5]), math.max(0, capacity - size()) }
end
if meta[5] ~= ARGV[8] then
  return redis.error_reply('RCINDEX ' .. meta[5])
end
--@include moment
--@include event
--@include created
local now, missing = now_ms(), capacity - size()
local created = math.max(0, math.min(missing, (#ARGV - 8) / 5))
for i = 0, created - 1 do
  local at = 10 + 5 * i
  create_task(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[5], now)
end
local next_index = tonumber(meta[5])
if created > 0 then
  next_index = ARGV[4 + 5 * created] + 1
  call('HSET', KEYS[1], 'next_index', next_index)
  event(ARGV[6], 'event', 'created', 'count', created, 'first_task_id', ARGV[10], 'label', ARGV[11], 'worker', ARGV[2])
end
call('HSET', worker_key, 'sequence', ARGV[3])
return { 0, created, next_index, math.max(0, missing - created) }
