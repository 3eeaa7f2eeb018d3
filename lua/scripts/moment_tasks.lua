-- moment_tasks: some records as they were at the moment of the running snapshot.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] token str as given to moment_begin
-- ARGV[3] lease_ms int how long the copies outlive this call
-- ARGV[4..] task_ids int at most 500
-- Returns for each task [field, value, ...], or the same as JSON; empty where it was not in the pool
-- Errors RCSTALE generation: a restore replaced it; RCLOST token: the copies are gone
-- Atomic. Changes no task.

--@include keys
--@include digest
--@include reader
--@include exporter
--@include record
local records = {}
for i = task_ids_first, task_ids_last do
  local id = task_ids[i]
  records[#records + 1] = call('HGET', prefix .. 'snapshot:tasks', id) or whole_task(pool .. 'task:' .. id)
end
return records
