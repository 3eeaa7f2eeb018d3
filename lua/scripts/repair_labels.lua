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
for i = labels_first, labels_last do
  local label = labels[i]
  local active = call('SCARD', pool .. 'label:' .. label)
  if active > 0 then
    call('HSET', pool .. 'labels', label, active)
    call('ZREM', pool .. 'inactive', label)
  else
    call('HDEL', pool .. 'labels', label)
    call('ZADD', pool .. 'inactive', 'NX', now_ms(), label)
  end
end
return 1
