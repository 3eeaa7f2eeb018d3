-- debiased_progress: the twin of redis_curriculum/scorers/debiased_progress.py, in the same order of operations.
-- Needs: track, rate_at, fold_averages, debiased_weight, rates, warm_up, cost_aware, noise_factor, power,
--   min_presentations_for_eviction, replacement_rate
-- Gives: fold_task, fold_label, rank, weight, fresh_until, ripe_from, replacement
local fresh_until, ripe_from, replacement = 1, min_presentations_for_eviction, replacement_rate
local fold_task = track

local function fold_label(p, s, cost)
  local n = p.completion_count
  track(p, s)
  fold_averages(p, s, n, rates, warm_up)
  if cost_aware then
    local average = p.average_cost or 1
    local rate = rate_at(1, n, rates, warm_up)
    p.average_cost = average + rate * (cost - average)
  end
end

local function rank()
  return 0
end

-- Of a label that has results.
local function weight(p)
  local found = debiased_weight(p, rates, warm_up, noise_factor)
  found = power == 1 and math.sqrt(found) or found
  return cost_aware and found / math.sqrt(p.average_cost) or found
end
