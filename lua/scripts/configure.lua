-- configure: replace the config, if it is still the one that the change was made from.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] config_version int the version of the config that the change was made from
-- ARGV[3] token str tells a repeated call from another's change
-- ARGV[4] config JSON the whole config
-- ARGV[5] config_sha256 str of that JSON
-- ARGV[6] packed_hypers doubles the numbers of that config
-- ARGV[7] unindexed str where reindex begins, and how many tasks are to go; empty: no index depends on what changes
-- ARGV[8] events_retained int length of the event stream
-- ARGV[9] changes JSON each changed field with its old and new value, for the event
-- ARGV[10] host str
-- ARGV[11] pid int
-- Returns the version of the new config
-- Errors RCSTALE generation: a restore replaced it; RCUNINDEXED version: reindex first; RCCONFIG version: the config has changed; RCTYPE key: something else stands at one of our keys
-- Atomic. O(1). Config, hypers, version and event change together; the indices follow by reindex.

--@include keys
--@include reader
--@include event
--@include malformed
local stored = call('HMGET', meta_key, 'config_version', 'configured', 'unindexed')
if stored[2] == token then
  return tonumber(stored[1])
end
if stored[3] then
  return redis.error_reply('RCUNINDEXED ' .. stored[1])
end
if stored[1] ~= config_version then
  return redis.error_reply('RCCONFIG ' .. stored[1])
end
local version = whole_number(meta_key, 'config_version', stored[1]) + 1
call('HSET', meta_key, 'config', config, 'config_sha256', config_sha256, 'hypers', packed_hypers, 'config_version', version,
  'configured', token)
if unindexed ~= '' then
  call('HSET', meta_key, 'unindexed', unindexed)
end
event('event', 'configured', 'config_version', version, 'changes', changes, 'host', host, 'pid', pid)
return version
