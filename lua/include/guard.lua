-- guard: one generation, one worker, each of its writes once. Nothing is written before it has passed.
-- ARGV[1..4] generation, worker, sequence, lease_ms. Sets: meta, last_write, repeated, saving.
local meta = call('HMGET', KEYS[1], 'generation', 'epoch', 'snapshot', 'random', 'next_index', 'schema')
if meta[1] ~= ARGV[1] then
  return redis.error_reply('RCSTALE ' .. (meta[1] or 'gone'))
end
if meta[6] ~= '1' then -- a newer library has rewritten the keys under a running worker
  return redis.error_reply('RCSTALE schema:' .. (meta[6] or 'none'))
end
local worker_key = prefix .. 'worker:' .. ARGV[2]
local last_write = call('HGET', worker_key, 'sequence')
if not last_write then
  return redis.error_reply('RCFENCED ' .. ARGV[2])
end
local ahead = ARGV[3] - last_write
if ahead > 1 then
  return redis.error_reply('RCGAP ' .. last_write)
end
local repeated = ahead < 1
if ARGV[4] ~= '0' then
--@include clock
--@include reap
  local now = now_ms()
  local lease_end = call('ZSCORE', prefix .. 'workers', ARGV[2])
  if not lease_end or tonumber(lease_end) < now then
    return redis.error_reply('RCFENCED ' .. ARGV[2])
  end
  call('ZADD', prefix .. 'workers', now + ARGV[4], ARGV[2])
  reap(now)
end
local epoch = prefix .. 'epoch:' .. meta[2] .. ':'
local saving = meta[3] and call('EXISTS', prefix .. 'snapshot') == 1
if meta[3] and not saving then -- its exporter died
  call('HDEL', KEYS[1], 'snapshot')
end
