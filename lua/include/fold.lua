-- fold: one completion into the statistics of a task or of a label (scorers/statistics.py, same order of operations).
-- A statistic that needs a result is nil before the first. Needs hypers.
local function part_of(completions)
  return completions < min_samples and 'fresh' or completions < min_presentations and 'learning' or 'ripe'
end

-- The statistics at a key, and as texts from r[10] on what else is asked for.
local function load_progress(key, ...)
  local r = call('HMGET', key, 'completion_count', 'reward_ema', 'ema_squared', 'success_rate_ema', 'p_fast', 'p_slow',
    'p_true', 'learning_progress', 'total_score', ...)
  local n, lp, true_ = tonumber(r[1] or 0), tonumber(r[8] or 0), tonumber(r[7])
  local p = { key = key, n = n, count = 0, reward = tonumber(r[2]), squared = tonumber(r[3]), success = tonumber(r[4]),
    fast = tonumber(r[5]), slow = tonumber(r[6]), true_ = true_, true_before = true_, lp = lp, lp_before = lp,
    total = tonumber(r[9] or 0), last = nil } -- 16 with the two that a task or a label adds: it grows for a baseline only
  if baseline and n > 0 then
    p.baseline = tonumber(call('HGET', key, 'random_baseline'))
  end
  return p, r
end

local function amplified(p)
  p = p < 0 and 0 or p > 1 and 1 or p
  return amplify == 0.5 and p or p * (1 - amplify) / (p + amplify * (1 - 2 * p))
end

-- `text` is the score as it was sent.
local function fold(p, s, text)
  if p.n == 0 and baseline then
    p.baseline = s < 0.75 and s or 0.75
  end
  local m, b, success = s, p.baseline, s >= threshold and 1 or 0
  if b then
    local room, above = 1 - b, s - b
    m = (above > 0 and above or 0) / (room > 1e-10 and room or 1e-10)
  end
  if p.n == 0 then
    p.reward, p.squared, p.success, p.fast, p.slow, p.true_ = s, s * s, success, m, m, s
  else
    p.reward = p.reward + alpha * (s - p.reward)
    p.squared = p.squared + alpha * (s * s - p.squared)
    p.success = p.success + alpha * (success - p.success)
    p.fast = p.fast + fast * (m - p.fast)
    p.slow = p.slow + slow * (m - p.slow)
    p.true_ = p.true_ + fast * (s - p.true_)
  end
  p.n, p.count, p.total, p.last = p.n + 1, p.count + 1, p.total + s, text
  if bidirectional then
    p.lp = math.abs(amplified(p.fast) - amplified(p.slow))
  else
    local variance = p.squared - p.reward * p.reward
    p.lp = math.sqrt(variance > 0 and variance or 0)
  end
end

local function store_progress(p)
  call('HSET', p.key, 'completion_count', p.n, 'reward_ema', p.reward, 'ema_squared', p.squared, 'success_rate_ema',
    p.success, 'p_fast', p.fast, 'p_slow', p.slow, 'p_true', p.true_, 'learning_progress', p.lp, 'total_score', p.total,
    'last_score', p.last)
  if baseline and p.n == p.count then
    call('HSET', p.key, 'random_baseline', p.baseline)
  end
end
