-- leave: a worker says goodbye; its entry goes at once instead of with its lease.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int not compared: any generation may be left
-- ARGV[2] worker str id of the worker
-- ARGV[3] token str as given to register
-- Returns 1 removed, 0 it was not there or not ours
-- Errors none of its own
-- Atomic.

--@include keys
local worker_key = prefix .. 'worker:' .. ARGV[2]
if call('HGET', worker_key, 'token') ~= ARGV[3] then
  return 0
end
call('UNLINK', worker_key)
call('ZREM', prefix .. 'workers', ARGV[2])
return 1
