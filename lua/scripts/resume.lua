-- resume: skip write numbers that the server lost and the worker cannot replay.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] last int the number the server has seen last
-- ARGV[4] next int the number that shall count as seen
-- Returns 1
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: the server has seen another number
-- Atomic.

--@include keys
--@include reader
local worker_key = prefix .. 'worker:' .. worker
local seen = call('HGET', worker_key, 'sequence')
if not seen then
  return redis.error_reply('RCFENCED ' .. worker)
end
if seen ~= last then
  return redis.error_reply('RCGAP ' .. seen)
end
call('HSET', worker_key, 'sequence', next)
return 1
