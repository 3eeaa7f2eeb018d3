-- guard: one generation, one worker, each of its writes once. Nothing is written before it has passed.
-- Needs: call, prefix, meta_key, generation, worker, sequence, lease_ms, whole_number
-- Gives: meta, packed_hypers, worker_key, repeated
local meta = call('HMGET', meta_key, 'generation', 'epoch', 'snapshot', 'random', 'next_index', 'schema', 'hypers',
  'config_version', 'unindexed', 'weighted')
if meta[1] ~= generation then
  return redis.error_reply('RCSTALE ' .. (meta[1] or 'gone'))
end
if meta[6] ~= '2' then -- another version of the library has rewritten the keys under a running worker
  return redis.error_reply('RCSTALE schema:' .. (meta[6] or 'none'))
end
whole_number(meta_key, 'epoch', meta[2])
whole_number(meta_key, 'config_version', meta[8])
if meta[9] then -- the indices are not yet those of the changed settings
  return redis.error_reply('RCUNINDEXED ' .. meta[8])
end
local packed_hypers = meta[7]
local worker_key = prefix .. 'worker:' .. worker
local last_write = call('HGET', worker_key, 'sequence')
if not last_write then
  return redis.error_reply('RCFENCED ' .. worker)
end
whole_number(worker_key, 'sequence', last_write)
if math.floor(sequence / 2 ^ 32) ~= math.floor(last_write / 2 ^ 32) then -- another process has taken the name
  return redis.error_reply('RCFENCED ' .. worker)
end
local ahead = sequence - last_write
if ahead > 1 then
  return redis.error_reply('RCGAP ' .. last_write)
end
local repeated = ahead < 1
if lease_ms ~= '0' then
  --@include clock
  --@include reap
  local now = now_ms()
  local lease_end = call('ZSCORE', prefix .. 'workers', worker)
  if not lease_end or tonumber(lease_end) < now then
    return redis.error_reply('RCFENCED ' .. worker)
  end
  call('ZADD', prefix .. 'workers', now + lease_ms, worker)
  reap(now)
end
--@include under_way
