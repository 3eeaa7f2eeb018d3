-- debiased_progress: the twin of redis_curriculum/scorers/debiased_progress.py, in the same order of operations.
-- Needs: track, rates, warm_up, cost_aware, noise_factor, power, min_presentations_for_eviction, replacement_rate
-- Gives: fold_task, fold_label, rank, weight, fresh_until, ripe_from, replacement
local fresh_until, ripe_from, replacement = 1, min_presentations_for_eviction, replacement_rate
local fold_task = track
local AVERAGES =
  { 'average_0', 'average_1', 'average_2', 'average_3', 'average_4', 'average_5', 'average_6', 'average_7' }

-- The rate of an average after n results.
local function rate_at(k, n)
  local rate = warm_up[k] / (n + warm_up[k])
  return rate > rates[k] and rate or rates[k]
end

local function fold_label(p, s, cost)
  local n, widest, last = p.completion_count, 0, nil
  track(p, s)
  for k = 1, #rates do
    local name, rate = AVERAGES[k], rate_at(k, n)
    local a = p[name] or 0
    if k == 1 then
      local squared = p.average_squared or 0
      p.average_squared = squared + rate * (s * s - squared)
    end
    a = a + rate * (s - a)
    if last then
      local gap = math.abs(last - a)
      widest = gap > widest and gap or widest
    end
    p[name], last = a, a
  end
  p.learning_progress = widest
  if cost_aware then
    local average = p.average_cost or 1
    p.average_cost = average + rate_at(1, n) * (cost - average)
  end
end

local function rank()
  return 0
end

-- Of a label that has results.
local function weight(p)
  local n, a, x = p.completion_count - 1, p.average_0, rate_at(1, p.completion_count - 1)
  local variance = p.average_squared - a * a
  variance = (variance > 0 and variance or 0) + 1 / (n + 5)
  local best = 0
  for k = 2, #rates do
    local b, y = p[AVERAGES[k]], rate_at(k, n)
    local chance = noise_factor * variance * (x / (2 - x) + y / (2 - y) - 2 * x * y / (x + y - x * y))
    local progress = (a - b) * (a - b) - chance
    best = progress > best and progress or best
    a, x = b, y
  end
  best = best + 1e-6
  best = power == 1 and math.sqrt(best) or best
  return cost_aware and best / math.sqrt(p.average_cost) or best
end
