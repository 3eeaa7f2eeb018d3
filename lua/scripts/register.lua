-- register: enter a worker and start its lease; the same handle may ask again.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the worker
-- ARGV[3] token str secret to the handle: tells its own retry from another's claim
-- ARGV[4] previous str token of the life that this one replaces; empty: none
-- ARGV[5] sequence int what a new entry counts as seen; above what an earlier life may still have on its way
-- ARGV[6] lease_ms int length of the lease
-- ARGV[7] takes str when the worker whose place this one may take was entered, though its lease runs; *: any; or empty
-- ARGV[8] host str
-- ARGV[9] pid int
-- ARGV[10] machine str boot id and pid namespace, within which a pid means something; or empty
-- ARGV[11] born str when that process began, as the machine counts; or empty
-- Returns [last sequence number, workers reaped so far]
-- Errors RCSTALE generation; RCINUSE worker: another process works under that id, and its lease runs
-- Atomic.

--@include keys
--@include digest
--@include clock
--@include reap
local current = call('HGET', meta_key, 'generation')
if current ~= generation then
  return redis.error_reply('RCSTALE ' .. (current or 'gone'))
end
local now, worker_key = now_ms(), prefix .. 'worker:' .. worker
local reaped = whole_number(meta_key, 'reaped_count', call('HGET', meta_key, 'reaped_count') or '0')
reap(now) -- first: it may take an older entry of this very worker
local holder, entered = unpack(call('HMGET', worker_key, 'token', 'started'))
if holder and holder ~= token then
  local lease_end = call('ZSCORE', prefix .. 'workers', worker)
  local is_given = holder == redis.sha1hex(previous) or takes == '*' or takes == entered
  if not is_given and lease_end and tonumber(lease_end) >= now then
    return redis.error_reply('RCINUSE ' .. worker)
  end
  call('UNLINK', worker_key)
  holder = false
end
if not holder then
  call('HSET', worker_key, 'sequence', sequence, 'token', token, 'host', host, 'pid', pid, 'started', now,
    'machine', machine, 'born', born)
end
local seen = whole_number(worker_key, 'sequence', call('HGET', worker_key, 'sequence'))
call('ZADD', prefix .. 'workers', now + lease_ms, worker)
return { seen, reaped }
