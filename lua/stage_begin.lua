-- stage_begin: claim the next generation for one restore.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation to be staged
-- ARGV[2] current str what meta.generation must be; empty: no curriculum
-- ARGV[3] token str tells this restore from others
-- ARGV[4] lease_ms int the claim holds so long after the last call
-- Returns 1
-- Errors RCSTALE generation: it is another; RCRESTORE token: another restore is at work; RCDELETED: it is marked for deletion
-- Atomic.

--@include keys
local current = call('HGET', KEYS[1], 'generation') or ''
if current ~= ARGV[2] then
  return redis.error_reply('RCSTALE ' .. (current == '' and 'gone' or current))
end
--@include deletion
if deleting then
  return redis.error_reply('RCDELETED ' .. prefix)
end
local holder = call('HGET', prefix .. 'restore', 'token')
if holder and holder ~= ARGV[3] then
  return redis.error_reply('RCRESTORE ' .. holder)
end
call('HSET', prefix .. 'restore', 'token', ARGV[3], 'generation', ARGV[1])
call('PEXPIRE', prefix .. 'restore', ARGV[4])
return 1
