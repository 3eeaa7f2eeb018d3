-- open: create the curriculum, or answer with the one that is there.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int 1; it is the one after the last of a deleted curriculum
-- ARGV[2] schema int version of the keys
-- ARGV[3] config JSON the whole config; empty: only attach
-- ARGV[4] config_sha256 str of that JSON
-- ARGV[5] packed_hypers doubles the numbers of that config
-- ARGV[6] random str first state of the random stream, six integers
-- ARGV[7] creator str tells the retry of a call from another's; empty: only attach
-- Returns [created, schema, generation, config, next_index, num_tasks, epoch, config_version], nil where one is no number; [] where there is none and no config was given
-- Errors RCTYPE key: something else stands at one of our keys; RCDELETED: it is marked for deletion; nothing was written
-- Atomic.

--@include keys
--@include clock
local function other_than(kind, key)
  local found = call('TYPE', key).ok
  return found ~= 'none' and found ~= kind
end
if other_than('hash', meta_key) then
  return redis.error_reply('RCTYPE ' .. meta_key)
end
local found = call('HMGET', meta_key, 'schema', 'generation', 'config', 'next_index', 'epoch', 'config_version',
  'creator')
local at = prefix .. 'g' .. (found[2] or generation) .. ':'
local own = { 'zset', prefix .. 'workers', 'stream', prefix .. 'events', 'zset', at .. 'fresh', 'zset', at .. 'learning',
  'zset', at .. 'ripe', 'hash', at .. 'labels', 'zset', at .. 'inactive', 'hash', at .. 'weight_sums',
  'string', at .. 'groups', 'zset', at .. 'weights', 'zset', at .. 'masses', 'zset', at .. 'young' }
for i = 1, #own, 2 do
  if other_than(own[i], own[i + 1]) then
    return redis.error_reply('RCTYPE ' .. own[i + 1])
  end
end
if found[1] or found[2] then
  local size = call('ZCARD', at .. 'fresh') + call('ZCARD', at .. 'learning') + call('ZCARD', at .. 'ripe')
  local created = found[7] and creator ~= '' and found[7] == creator -- and the reply was lost
  return { created and 1 or 0, tonumber(found[1]) or found[1], tonumber(found[2]) or false, found[3],
    tonumber(found[4]) or false, size, tonumber(found[5]) or false, tonumber(found[6] or 1) or false }
end
if config == '' then
  return {}
end
--@include deletion
if deleting then
  return redis.error_reply('RCDELETED ' .. prefix)
end
generation = (call('GET', prefix .. 'deleted') or 0) + 1
call('HSET', meta_key, 'schema', schema, 'generation', generation, 'config', config, 'config_sha256', config_sha256,
  'hypers', packed_hypers, 'config_version', 1, 'epoch', 0, 'created_ms', now_ms(), 'random', random, 'next_index', 0,
  'late_count', 0, 'creator', creator)
return { 1, tonumber(schema), generation, config, 0, 0, 0, 1 }
