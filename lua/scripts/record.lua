-- record: fold finished episodes into their tasks and labels, once.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] sequence int grows by one with each write of that worker
-- ARGV[4] lease_ms int renews the lease for so long; 0: not due
-- ARGV[5..] results groups of task_id int, score float [0, 1]; then the numbers that the family asks for
-- Returns [repeated, config_version, outcomes...]: 1 applied, 0 the task was evicted meanwhile; no outcomes when repeated
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing; RCUNINDEXED version: reindex first
-- Atomic. O(results x log pool).

--@include keys
--@include guard
if repeated then
  return { 1, tonumber(meta[7]) }
end
--@include results
call('HSET', worker_key, 'sequence', sequence)
return { 0, tonumber(meta[7]), unpack(outcomes) }
