-- open: create the curriculum, or answer with the one that is there.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int 1, the first
-- ARGV[2] schema int version of the keys
-- ARGV[3] config JSON the whole config; empty: only attach
-- ARGV[4] config_sha256 str of that JSON
-- ARGV[5] random str first state of the random stream, six integers
-- Returns [created, schema, generation, config, next_index, num_tasks]; [] where there is none and no config was given
-- Errors none of its own
-- Atomic.

--@include keys
--@include clock
local found = call('HMGET', KEYS[1], 'schema', 'generation', 'config', 'next_index')
if found[1] then
  local at = prefix .. 'g' .. found[2] .. ':'
  local size = call('ZCARD', at .. 'fresh') + call('ZCARD', at .. 'learning') + call('ZCARD', at .. 'ripe')
  return { 0, tonumber(found[1]), tonumber(found[2]), found[3], tonumber(found[4]), size }
end
if ARGV[3] == '' then
  return {}
end
call('HSET', KEYS[1], 'schema', ARGV[2], 'generation', ARGV[1], 'config', ARGV[3], 'config_sha256', ARGV[4], 'epoch', 0,
  'created_ms', now_ms(), 'random', ARGV[5], 'next_index', 0, 'late_count', 0)
return { 1, tonumber(ARGV[2]), tonumber(ARGV[1]), ARGV[3], 0, 0 }
