-- moment_begin: mark the moment of a snapshot; from now on every change first keeps what was (include/moment).
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] token str tells this exporter from others; asking again with it begins anew
-- ARGV[3] lease_ms int how long the copies outlive the exporter's last call
-- ARGV[4] gives_way flag whether another exporter that does not may end this moment
-- Returns [fields and values of meta that a snapshot needs, names and values of the sums, sizes of fresh, learning and ripe,
--   [worker id, lease end, field, value, ...] of at most 2,000 workers, now in ms, names and values of the family's
--   statistics of the whole pool, [name of a key of the family's own, field, value, ...] of those of the whole pool,
--   [key, text, ...] of the batches that are kept, oldest first, ids and messages of the quarantine]
-- Errors RCSTALE generation: a restore replaced it; RCSNAPSHOT started: another exporter is at work and does not give way
-- Atomic. O(workers + ids of the batches + quarantine).

--@include keys
--@include digest
--@include clock
--@include reader
--@include malformed
--@include stored_hypers
local held = call('HMGET', prefix .. 'snapshot', 'token', 'started', 'gives_way')
if held[1] and held[1] ~= token and (gives_way or held[3] ~= '1') then
  return redis.error_reply('RCSNAPSHOT ' .. held[2])
end
local epoch = call('HGET', meta_key, 'epoch')
whole_number(meta_key, 'epoch', epoch)
local copies = { prefix .. 'snapshot:tasks', prefix .. 'snapshot:labels' }
call('UNLINK', unpack(copies))
for _, key in ipairs(copies) do -- they exist from the start, so that they always have an end
  call('HSET', key, '\n', '')
  call('PEXPIRE', key, 2 * lease_ms)
end
local now = string.format('%.0f', now_ms())
call('HSET', prefix .. 'snapshot', 'token', token, 'started', now, 'gives_way', gives_way and 1 or 0)
call('PEXPIRE', prefix .. 'snapshot', lease_ms)
call('HSET', meta_key, 'snapshot', epoch)
--@include fields_of
local workers = {}
local ids = call('ZRANGE', prefix .. 'workers', 0, 1999, 'WITHSCORES')
for i = 1, #ids, 2 do
  local worker = fields_of(prefix .. 'worker:' .. ids[i], { 'sequence', 'host', 'pid', 'started' }) -- no token
  table.insert(worker, 1, ids[i])
  table.insert(worker, 2, ids[i + 1])
  workers[#workers + 1] = worker
end
local readable = fields_of(meta_key, { 'config', 'config_sha256', 'config_version', 'created_ms', 'epoch',
  'epoch_started_ms', 'forced', 'generation', 'late_count', 'next_index', 'random', 'reaped_count', 'unindexed' })
local sizes = { call('ZCARD', pool .. 'fresh'), call('ZCARD', pool .. 'learning'), call('ZCARD', pool .. 'ripe') }
--@include index_state
--@include pool_statistics
local of_pool, found = {}, load_pool()
for _, name in ipairs(POOL_STATISTICS) do
  if found[name] then
    of_pool[#of_pool + 1] = name
    of_pool[#of_pool + 1] = string.format('%.17g', found[name])
  end
end
--@include own
local own = {}
for _, one in ipairs(OWN_POOL) do
  local key = pool .. one.key
  local size = call('HLEN', key)
  if size > MOST_OWN then
    malformed(key, 'more fields than ' .. MOST_OWN, size)
  end
  own[#own + 1] = call('HGETALL', key)
  table.insert(own[#own], 1, one.name)
end
local batches = {}
for _, name in ipairs(call('ZRANGE', pool .. 'batch_order', 0, -1)) do
  batches[#batches + 1] = name
  batches[#batches + 1] = call('HGET', pool .. 'batches', name) or malformed(pool .. 'batches', name)
end
return { readable, index_sums(), sizes, workers, now, of_pool, own, batches, call('HGETALL', pool .. 'quarantine') }
