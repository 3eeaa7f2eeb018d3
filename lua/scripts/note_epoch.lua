-- note_epoch: keep how far some labels had come when an epoch was closed.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] sequence int grows by one with each write of that worker
-- ARGV[4] lease_ms int renews the lease for so long; 0: not due
-- ARGV[5] epoch int the closed epoch
-- ARGV[6] spread float how far the labels' mean scores lie apart
-- ARGV[7..] labels groups of label str, success_rate_ema float, learning_progress str; the last is empty where the family has none
-- Returns [repeated]
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing; RCUNINDEXED version: reindex first
-- Atomic. Nothing is kept of an epoch that has gone. O(labels).

--@include keys
--@include guard
if repeated then
  return { 1 }
end
local success, progress, stem = {}, {}, prefix .. 'epoch:' .. epoch .. ':'
for i = labels_first, labels_last, labels_width do
  local label, n, m = labels[i], #success, #progress
  success[n + 1], success[n + 2] = label, labels[i + 1]
  if labels[i + 2] ~= '' then
    progress[m + 1], progress[m + 2] = label, labels[i + 2]
  end
end
if success[1] and call('EXISTS', stem .. 'times') == 1 then
  call('HSET', stem .. 'times', 'spread', spread)
  call('HSET', stem .. 'success', unpack(success))
  if progress[1] then
    call('HSET', stem .. 'progress', unpack(progress))
  end
end
call('HSET', worker_key, 'sequence', sequence)
return { 0 }
