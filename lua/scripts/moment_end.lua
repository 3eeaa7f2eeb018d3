-- moment_end: the snapshot is written; keep no more copies.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int not compared
-- ARGV[2] token str as given to moment_begin
-- Returns 1 ended, 0 it was not this exporter's any more
-- Errors none of its own
-- Atomic.

--@include keys
--@include digest
if call('HGET', prefix .. 'snapshot', 'token') ~= token then
  return 0
end
call('HDEL', meta_key, 'snapshot')
call('UNLINK', prefix .. 'snapshot', prefix .. 'snapshot:tasks', prefix .. 'snapshot:labels')
return 1
