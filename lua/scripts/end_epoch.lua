-- end_epoch: close the epoch and open the next, once, if it is the one the caller means.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] sequence int grows by one with each write of that worker
-- ARGV[4] lease_ms int renews the lease for so long; 0: not due
-- ARGV[5] epoch int the epoch to close
-- ARGV[6] own_step str the trainer's step, an int; or empty
-- Returns [repeated]
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing; RCUNINDEXED version: reindex first; RCEPOCH epoch: the current epoch is another; nothing was written; RCTYPE key: something else stands at one of our keys
-- Atomic. At most 16 epochs are removed a call, and none while a snapshot runs.

--@include keys
--@include clock
--@include guard
if repeated then
  return { 1 }
end
if meta[2] ~= epoch then
  return redis.error_reply('RCEPOCH ' .. meta[2])
end
--@include counts
--@include hypers
--@include event
local now = now_ms()
local known = call('HMGET', meta_key, 'epoch_started_ms', 'created_ms', 'oldest_epoch')
local oldest = whole_number(meta_key, 'oldest_epoch', known[3] or '0')
whole_number(meta_key, known[1] and 'epoch_started_ms' or 'created_ms', known[1] or known[2])
local gone = saving and 0 or math.max(0, math.min(epoch + 1 - epochs_retained - oldest, 16))
call('HSET', epoch_prefix .. 'times', 'started_ms', known[1] or known[2], 'ended_ms', now)
if own_step ~= '' then
  call('HSET', epoch_prefix .. 'times', 'step', own_step)
end
for n = oldest, oldest + gone - 1 do
  for _, what in ipairs(EPOCH) do
    call('UNLINK', string.format('%sepoch:%.0f:%s', prefix, n, what))
  end
end
oldest = oldest + gone
call('HSET', meta_key, 'epoch', meta[2] + 1, 'epoch_started_ms', now, 'oldest_epoch', oldest)
event('event', 'epoch', 'epoch', meta[2], 'worker', worker)
call('HSET', worker_key, 'sequence', sequence)
return { 0 }
