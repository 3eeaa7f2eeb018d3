-- learning_progress: the twin of redis_curriculum/scorers/learning_progress.py, in the same order of operations.
-- Needs: track, ema_timescale, slow_timescale_factor, use_baseline_normalization, use_bidirectional,
--   early_progress_amplification, task_tracker_ema_alpha, min_samples_for_lp, min_presentations_for_eviction,
--   performance_bonus_weight, replacement_rate, eviction_threshold_percentile
-- Gives: fold_task, fold_label, rank, weight, fresh_until, ripe_from, replacement, evictable_share, weight_is_rank
local fresh_until, ripe_from = min_samples_for_lp, min_presentations_for_eviction
local replacement, evictable_share = replacement_rate, eviction_threshold_percentile
local weight_is_rank = performance_bonus_weight == 0
local slow_rate = ema_timescale * slow_timescale_factor

local function reweighted(p)
  p = p < 0 and 0 or p > 1 and 1 or p
  local early = early_progress_amplification
  return early == 0.5 and p or p * (1 - early) / (p + early * (1 - 2 * p))
end

local function fold_task(p, s)
  local first = p.completion_count == 0
  track(p, s)
  if first and use_baseline_normalization then
    p.random_baseline = s < 0.75 and s or 0.75
  end
  local m, b = s, p.random_baseline
  if b then
    local room, above = 1 - b, s - b
    m = (above > 0 and above or 0) / (room > 1e-10 and room or 1e-10)
  end
  if first then
    p.ema_squared, p.p_fast, p.p_slow, p.p_true = s * s, m, m, s
  else
    p.ema_squared = p.ema_squared + task_tracker_ema_alpha * (s * s - p.ema_squared)
    p.p_fast = p.p_fast + ema_timescale * (m - p.p_fast)
    p.p_slow = p.p_slow + slow_rate * (m - p.p_slow)
    p.p_true = p.p_true + ema_timescale * (s - p.p_true)
  end
  if use_bidirectional then
    local newer = reweighted(p.p_fast)
    local older = reweighted(p.p_slow)
    p.learning_progress = math.abs(newer - older)
  else
    local variance = p.ema_squared - p.reward_ema * p.reward_ema
    p.learning_progress = math.sqrt(variance > 0 and variance or 0)
  end
end
local fold_label = fold_task

local function rank(p)
  return p.learning_progress or 0
end

local function weight(p)
  local progress = p.learning_progress or 0
  return weight_is_rank and progress or progress + performance_bonus_weight * (p.p_true or 0)
end
