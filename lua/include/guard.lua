-- guard: one generation, one worker, each of its writes once. Nothing is written before it has passed.
-- Needs: call, prefix, meta_key, generation, worker, sequence, lease_ms, whole_number
-- Gives: meta, packed_hypers, worker_key, repeated
local meta = call('HMGET', meta_key, 'generation', 'epoch', 'snapshot', 'random', 'schema', 'hypers', 'config_version',
  'unindexed', 'weighted')
if meta[1] ~= generation then
  return redis.error_reply('RCSTALE ' .. (meta[1] or 'gone'))
end
if meta[5] ~= '2' then -- another version of the library has rewritten the keys under a running worker
  return redis.error_reply('RCSTALE schema:' .. (meta[5] or 'none'))
end
if not string.find((meta[2] or '') .. ' ' .. (meta[7] or ''), '^%d+ %d+$') or #meta[2] > 16 or #meta[7] > 16 then
  whole_number(meta_key, 'epoch', meta[2])
  whole_number(meta_key, 'config_version', meta[7])
end
if meta[8] then -- the indices are not yet those of the changed settings
  return redis.error_reply('RCUNINDEXED ' .. meta[7])
end
local packed_hypers = meta[6]
local worker_key = prefix .. 'worker:' .. worker
local last_write, repeated = call('HGET', worker_key, 'sequence'), false
if last_write ~= string.format('%.0f', sequence - 1) then
  if not last_write then
    return redis.error_reply('RCFENCED ' .. worker)
  end
  whole_number(worker_key, 'sequence', last_write)
  if math.floor(sequence / 2 ^ 32) ~= math.floor(last_write / 2 ^ 32) then -- another process has taken the name
    return redis.error_reply('RCFENCED ' .. worker)
  end
  if sequence - last_write > 1 then
    return redis.error_reply('RCGAP ' .. last_write)
  end
  repeated = true
end
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
