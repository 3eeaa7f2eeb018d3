-- read: whole records of some tasks.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2..] task_ids int at most 1,000
-- Returns one list of field, value, ... for each task, as include/record.lua; empty where it is not in the pool
-- Errors RCSTALE generation
-- Reads only. One moment for all the tasks of the call.

--@include keys
--@include reader
--@include record
local records = {}
for i = task_ids_first, task_ids_last do
  records[#records + 1] = whole_task(pool .. 'task:' .. task_ids[i])
end
return records
