-- register: enter a worker and start its lease; the same handle may ask again.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the worker
-- ARGV[3] token str secret to the handle: tells its own retry from another's claim
-- ARGV[4] lease_ms int length of the lease
-- ARGV[5] host str
-- ARGV[6] pid int
-- Returns [last sequence number]
-- Errors RCSTALE generation; RCINUSE worker: another live process works under that id
-- Atomic.

--@include keys
--@include clock
--@include reap
local generation = call('HGET', KEYS[1], 'generation')
if generation ~= ARGV[1] then
  return redis.error_reply('RCSTALE ' .. (generation or 'gone'))
end
local now, worker_key = now_ms(), prefix .. 'worker:' .. ARGV[2]
local token = call('HGET', worker_key, 'token')
if token and token ~= ARGV[3] then
  local lease_end = call('ZSCORE', prefix .. 'workers', ARGV[2])
  if lease_end and tonumber(lease_end) >= now then
    return redis.error_reply('RCINUSE ' .. ARGV[2])
  end
  call('UNLINK', worker_key)
  token = false
end
reap(now)
if not token then
  call('HSET', worker_key, 'sequence', 0, 'token', ARGV[3], 'host', ARGV[5], 'pid', ARGV[6], 'started', now)
end
call('ZADD', prefix .. 'workers', now + ARGV[4], ARGV[2])
return { tonumber(call('HGET', worker_key, 'sequence')) }
