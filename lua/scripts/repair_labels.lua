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
--@include own
for i = labels_first, labels_last do
  local label = labels[i]
  local active = call('SCARD', pool .. 'label:' .. label)
  local is_known = call('HEXISTS', pool .. 'labels', label) == 1 or call('ZSCORE', pool .. 'inactive', label)
  if active > 0 then
    call('HSET', pool .. 'labels', label, active)
    call('ZREM', pool .. 'inactive', label)
    begin_own(OWN_LABELS, label)
  elseif not is_known then -- forgotten
    forget_own(OWN_LABELS, label)
  else
    call('HDEL', pool .. 'labels', label)
    call('ZADD', pool .. 'inactive', 'NX', now_ms(), label)
    begin_own(OWN_LABELS, label)
  end
end
return 1
