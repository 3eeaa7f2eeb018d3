-- add: put given tasks into the pool, beside those that the generator makes.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] sequence int grows by one with each write of that worker
-- ARGV[4] lease_ms int renews the lease for so long; 0: not due
-- ARGV[5] most int how many tasks a pool may hold
-- ARGV[6..] specs groups of task_id int, label str, params JSON
-- Returns [repeated, flags...]: 1 added, 0 a task of that id is there and stays as it is; only [1] when repeated
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing; RCUNINDEXED version: reindex first; RCFULL size: so many tasks are there, and there is no room for these; nothing was written; RCTYPE key: something else stands at one of our keys
-- Atomic. O(specs). The pool may become larger than num_active_tasks.

--@include keys
--@include clock
--@include guard
if repeated then
  return { 1 }
end
local function is_there(id)
  return call('EXISTS', pool .. 'task:' .. id) == 1
end
local new, size = 0, call('ZCARD', pool .. 'fresh') + call('ZCARD', pool .. 'learning') + call('ZCARD', pool .. 'ripe')
for at = specs_first, specs_last, specs_width do
  new = new + (is_there(specs[at]) and 0 or 1)
end
if size + new > tonumber(most) then
  return redis.error_reply('RCFULL ' .. size)
end
--@include event
--@include created
for at = specs_first, specs_last, specs_width do
  check_creation(specs[at], specs[at + 1])
end
local now, answer, first_id, first_label = now_ms(), { 0 }, nil, nil
for at = specs_first, specs_last, specs_width do
  local id, label = specs[at], specs[at + 1]
  local is_new = not is_there(id)
  if is_new then
    create_task(id, label, specs[at + 2], now)
    first_id, first_label = first_id or id, first_label or label
    call('HDEL', pool .. 'quarantine', id)
  end
  answer[#answer + 1] = is_new and 1 or 0
end
if new > 0 then
  event('event', 'added', 'count', new, 'first_task_id', first_id, 'label', first_label, 'worker', worker)
end
call('HSET', worker_key, 'sequence', sequence)
return answer
