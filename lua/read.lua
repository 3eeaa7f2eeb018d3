-- read: whole records of some tasks.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2..] task_ids int at most 1,000
-- Returns one list of field, value, ... for each task; empty where it is not in the pool
-- Errors RCSTALE generation
-- Reads only. One moment for all the tasks of the call.

--@include keys
--@include reader
local records = {}
for i = 2, #ARGV do
  records[i - 1] = call('HGETALL', pool .. 'task:' .. ARGV[i])
end
return records
