-- leave: a worker says goodbye; its entry goes at once instead of with its lease.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int not compared: any generation may be left
-- ARGV[2] worker str id of the worker
-- ARGV[3] token str as given to register
-- ARGV[4] sequence int of its last write
-- Returns 1 removed, 0 it was not there or not ours
-- Errors RCGAP last: the server has lost writes after `last`; the entry stays
-- Atomic.

--@include keys
--@include digest
--@include malformed
local worker_key = prefix .. 'worker:' .. worker
local entry = call('HMGET', worker_key, 'token', 'sequence')
if entry[1] ~= token then
  return 0
end
if sequence - whole_number(worker_key, 'sequence', entry[2]) > 0 then
  return redis.error_reply('RCGAP ' .. entry[2])
end
call('UNLINK', worker_key)
call('ZREM', prefix .. 'workers', worker)
return 1
