-- step: report finished episodes and draw the next tasks, in one call.
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
-- ARGV[16] rand_task_rate float [0, 1]
-- ARGV[17] bonus_rule flag 1: exploration by bonus, 0: by share
-- ARGV[18] explore float exploration_bonus or exploration_share
-- ARGV[19] temperature float 0: z-scores
-- ARGV[20] z_score_amplification float
-- ARGV[21] progress_smoothing float
-- ARGV[22] eviction_threshold_percentile float (0, 1]
-- ARGV[23] replacement_rate float [0, 1]; 0 where the caller cannot generate tasks
-- ARGV[24] num_active_tasks int the pool's capacity
-- ARGV[25] count int tasks to draw
-- ARGV[26] replay str as in sample
-- ARGV[27..] results pairs of task_id int, score float [0, 1]
-- Returns [repeated, wanted, next_index, missing, outcomes n, n outcomes..., then (id, label, params) of each drawn task]:
--   wanted draws shall be new tasks (call replace); missing: how many tasks the pool lacks to its capacity
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing
-- Atomic. The draws see the results.

local fold_at, draw_at, pooled, bonus = 6, 15, ARGV[5] == '1', tonumber(ARGV[6])
--@include keys
--@include guard
--@include moment
--@include count_samples
--@include reply
if repeated then
  return reply_again()
end
--@include sums
--@include fold
--@include results
local outcomes = apply_results(27, #ARGV)
--@include random
--@include evictable
--@include draw
local drawn, wanted = draw(tonumber(ARGV[25]), ARGV[26])
return reply(outcomes, drawn, wanted, tonumber(meta[5]), ARGV[24] - all_count)
