-- debiased: averages of a label's scores, and the progress that chance does not explain (scorers/debiased_progress.py). The
-- rates are those of the averages, fastest first; warm_up[k] / (n + warm_up[k]) is the rate of average k after n results at first.
-- Gives: rate_at, fold_averages, debiased_weight
local AVERAGES =
  { 'average_0', 'average_1', 'average_2', 'average_3', 'average_4', 'average_5', 'average_6', 'average_7' }

-- The rate of an average after n results.
local function rate_at(k, n, rates, warm_up)
  local falling = warm_up[k] / (n + warm_up[k])
  return falling > rates[k] and falling or rates[k]
end

-- One result more, the n-th from 0.
local function fold_averages(p, s, n, rates, warm_up)
  local widest, last = 0, nil
  for k = 1, #rates do
    local name = AVERAGES[k]
    local rate = rate_at(k, n, rates, warm_up)
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
end

-- Of a label that has results.
local function debiased_weight(p, rates, warm_up, noise_factor)
  local n = p.completion_count - 1
  local a = p.average_0
  local x = rate_at(1, n, rates, warm_up)
  local variance = p.average_squared - a * a
  variance = (variance > 0 and variance or 0) + 1 / (n + 5)
  local best = 0
  for k = 2, #rates do
    local b = p[AVERAGES[k]]
    local y = rate_at(k, n, rates, warm_up)
    local chance = noise_factor * variance * (x / (2 - x) + y / (2 - y) - 2 * x * y / (x + y - x * y))
    local progress = (a - b) * (a - b) - chance
    best = progress > best and progress or best
    a, x = b, y
  end
  return best + 1e-6
end
