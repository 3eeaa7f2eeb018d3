-- reap: remove workers whose lease has ended, at most 16 of them.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int not compared
-- Returns [how many were removed]
-- Errors none of its own
-- Atomic.

--@include keys
--@include clock
--@include reap
local before = call('ZCARD', prefix .. 'workers')
if call('EXISTS', KEYS[1]) == 1 then -- without a curriculum all of it is for collect
  reap(now_ms())
end
return { before - call('ZCARD', prefix .. 'workers') }
