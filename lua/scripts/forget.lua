-- forget: the last key of a deletion has gone, the name is free again, for a generation that was not there before.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the last of the deleted curriculum
-- ARGV[2] remember_ms int for so long, which should be longer than any lease
-- Returns 1, 0 that deletion is not under way
-- Errors none of its own
-- Atomic. So no worker of the deleted curriculum takes a new one for its own.

--@include keys
--@include deletion
if not deleting or call('GET', prefix .. 'deleted') ~= generation then
  return 0
end
return call('PEXPIRE', prefix .. 'deleted', remember_ms)
