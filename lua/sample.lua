-- sample: draw tasks for a worker to play; each counts as sampled, once.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] sequence int grows by one with each write of that worker
-- ARGV[4] lease_ms int renews the lease for so long; 0: not due
-- ARGV[5] pooled flag 1: pooling by label, 0: by task
-- ARGV[6] performance_bonus_weight float [0, 1]
-- ARGV[7] rand_task_rate float [0, 1]
-- ARGV[8] bonus_rule flag 1: exploration by bonus, 0: by share
-- ARGV[9] explore float exploration_bonus or exploration_share
-- ARGV[10] temperature float 0: z-scores
-- ARGV[11] z_score_amplification float
-- ARGV[12] progress_smoothing float
-- ARGV[13] eviction_threshold_percentile float (0, 1]
-- ARGV[14] replacement_rate float [0, 1]; 0 where the caller cannot generate tasks
-- ARGV[15] num_active_tasks int the pool's capacity
-- ARGV[16] count int tasks to draw
-- ARGV[17] replay str ids, separated by spaces, that were drawn before the server lost them: counted, not drawn; or empty
-- Returns [repeated, wanted, next_index, missing, outcomes n, n outcomes..., then (id, label, params) of each drawn task]:
--   wanted draws shall be new tasks (call replace); missing: how many tasks the pool lacks to its capacity
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing
-- Atomic. Expected O(count x log pool); after some 1,024 trials in all the call ends with fewer tasks.

local draw_at, pooled, bonus = 6, ARGV[5] == '1', tonumber(ARGV[6])
--@include keys
--@include guard
--@include moment
--@include count_samples
--@include reply
if repeated then
  return reply_again()
end
--@include drive
--@include random
--@include evictable
--@include draw
local drawn, wanted = draw(tonumber(ARGV[16]), ARGV[17])
return reply({}, drawn, wanted, tonumber(meta[5]), ARGV[15] - all_count)
