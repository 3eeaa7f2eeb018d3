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
--@include digest
local live = call('HGET', meta_key, 'generation') or ''
if live ~= current then
  return redis.error_reply('RCSTALE ' .. (live == '' and 'gone' or live))
end
--@include deletion
if deleting then
  return redis.error_reply('RCDELETED ' .. prefix)
end
local holder = call('HGET', prefix .. 'restore', 'token')
if holder and holder ~= token then
  return redis.error_reply('RCRESTORE ' .. holder)
end
call('HSET', prefix .. 'restore', 'token', token, 'generation', generation)
call('PEXPIRE', prefix .. 'restore', lease_ms)
return 1
