-- delete: mark a curriculum for deletion; from now on it is gone for everybody, collect removes its keys.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int not compared
-- Returns 1 marked, 0 it was marked before
-- Errors RCSTALE gone: there is no such curriculum
-- Atomic. O(1); no claim of a snapshot or a restore outlives it.

--@include keys
--@include deletion
if deleting then
  return 0
end
if call('EXISTS', meta_key) == 0 then
  return redis.error_reply('RCSTALE gone')
end
local current = call('HGET', meta_key, 'generation')
if not (current and #current < 16 and string.match(current, '^%d+$')) then -- malformed: one that never was
  current = call('TIME')[1]
end
call('SET', prefix .. 'deleted', current)
call('UNLINK', meta_key, prefix .. 'restore', prefix .. 'snapshot')
return 1
