-- reap: remove workers whose lease has ended, at most 16 of them.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int not compared
-- Returns the ids of the removed workers
-- Errors none of its own
-- Atomic.

--@include keys
--@include clock
--@include reap
if call('EXISTS', meta_key) == 0 then -- no curriculum: what is here is for collect
  return {}
end
return reap(now_ms())
