-- renew: keep a worker's lease during a long episode, without a write of its own.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] sequence int of its last write
-- ARGV[4] lease_ms int length of the lease
-- Returns 1
-- Errors RCSTALE generation; RCFENCED worker; RCGAP last; RCUNINDEXED version: reindex first
-- Atomic.

--@include guard
return 1
