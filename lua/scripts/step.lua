-- step: report finished episodes and draw the next tasks, in one call.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] sequence int grows by one with each write of that worker
-- ARGV[4] lease_ms int renews the lease for so long; 0: not due
-- ARGV[5] count int tasks to draw
-- ARGV[6] may_replace flag whether the caller can make new tasks
-- ARGV[7] replay str as in sample
-- ARGV[8] distinct int as in sample
-- ARGV[9] chosen str as in sample
-- ARGV[10..] results groups of task_id int, score float [0, 1]; then the numbers that the family asks for
-- Returns [repeated, config_version, wanted, missing, outcomes n, n outcomes..., then (id, label, params) of each
--   drawn task]: wanted draws shall be new tasks (call replace); missing: how many tasks the pool lacks to
--   its capacity, below 0 where more were added
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing; RCUNINDEXED version: reindex first
-- Atomic. The draws see the results.

--@include guard
if repeated then
  --@include reply_again
  return reply_again()
end
--@include random
--@include results
--@include sizes
local function draw_and_reply()
  --@include draw
  local missing = num_active_tasks - all_count
  --@include reply
  return answer
end
local done, answered = pcall(draw_and_reply)
if not done then -- a record is malformed: the results count all the same; `sample`, asked for the draws, says what it is
  call('HSET', worker_key, 'sequence', sequence)
  return { 0, tonumber(meta[7]), 0, num_active_tasks - all_count, #outcomes, unpack(outcomes) }
end
return answered
