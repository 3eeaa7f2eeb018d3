-- record: fold finished episodes into their tasks and labels, once.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] sequence int grows by one with each write of that worker
-- ARGV[4] lease_ms int renews the lease for so long; 0: not due
-- ARGV[5] pooled flag 1: pooling by label, 0: by task
-- ARGV[6] performance_bonus_weight float [0, 1]
-- ARGV[7] task_tracker_ema_alpha float (0, 1]
-- ARGV[8] ema_timescale float (0, 1]
-- ARGV[9] slow_timescale_factor float (0, 1)
-- ARGV[10] success_threshold float [0, 1]
-- ARGV[11] use_baseline_normalization flag 0 or 1
-- ARGV[12] use_bidirectional flag 0 or 1
-- ARGV[13] early_progress_amplification float (0, 1)
-- ARGV[14] min_samples_for_lp int completions
-- ARGV[15] min_presentations_for_eviction int completions
-- ARGV[16..] results pairs of task_id int, score float [0, 1]
-- Returns [repeated, outcomes...]: 1 applied, 0 the task was evicted meanwhile; only [1] when repeated
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing
-- Atomic. O(results x log pool).

local fold_at, pooled, bonus = 6, ARGV[5] == '1', tonumber(ARGV[6])
--@include keys
--@include guard
if repeated then
  return { 1 }
end
--@include moment
--@include sums
--@include fold
--@include results
local outcomes = apply_results(16, #ARGV)
call('HSET', worker_key, 'sequence', ARGV[3])
return { 0, unpack(outcomes) }
