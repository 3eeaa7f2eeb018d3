-- repair_labels: count labels' active tasks anew from their sets.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2..] labels str at most 500
-- Returns 1
-- Errors RCSTALE generation: a restore replaced it
-- Atomic.

--@include keys
--@include clock
--@include reader
for i = 2, #ARGV do
  local active = call('SCARD', pool .. 'label:' .. ARGV[i])
  if active > 0 then
    call('HSET', pool .. 'labels', ARGV[i], active)
    call('ZREM', pool .. 'inactive', ARGV[i])
  else
    call('HDEL', pool .. 'labels', ARGV[i])
    call('ZADD', pool .. 'inactive', 'NX', now_ms(), ARGV[i])
  end
end
return 1
