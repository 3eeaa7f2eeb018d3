-- fold: one completion into the statistics of a task or of a label (scoring.fold, same order of operations).
-- ARGV[fold_at + 1 .. fold_at + 9] hold the hypers. A statistic that needs a result is nil before the first.
local alpha, fast = tonumber(ARGV[fold_at + 1]), tonumber(ARGV[fold_at + 2])
local slow, threshold = fast * ARGV[fold_at + 3], tonumber(ARGV[fold_at + 4])
local baseline, bidirectional = ARGV[fold_at + 5] == '1', ARGV[fold_at + 6] == '1'
local amplify = tonumber(ARGV[fold_at + 7])
local min_samples, min_presentations = tonumber(ARGV[fold_at + 8]), tonumber(ARGV[fold_at + 9])

local function part_of(completions)
  return completions < min_samples and 'fresh' or completions < min_presentations and 'learning' or 'ripe'
end

local function load_progress(key)
  local r = call('HMGET', key, 'completion_count', 'reward_ema', 'ema_squared', 'success_rate_ema', 'p_fast', 'p_slow',
    'p_true', 'learning_progress', 'total_score', 'random_baseline', 'label', 'eligible_count', 'consecutive_failures')
  local n, lp, true_, eligible = tonumber(r[1] or 0), tonumber(r[8] or 0), tonumber(r[7]), tonumber(r[12] or 0)
  local base = n > 0 and tonumber(r[10]) or nil
  -- all fields that will ever be there, so that the table never grows
  return { key = key, label = r[11], failing = r[13], n = n, before = n, reward = tonumber(r[2]),
    squared = tonumber(r[3]), success = tonumber(r[4]), fast = tonumber(r[5]), slow = tonumber(r[6]), true_ = true_,
    true_before = true_, lp = lp, lp_before = lp, total = tonumber(r[9] or 0), last = nil, baseline = base,
    had_baseline = base, eligible = eligible, eligible_before = eligible, count = 0 }
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
  local m = s
  if p.baseline then
    local room, above = 1 - p.baseline, s - p.baseline
    m = (above > 0 and above or 0) / (room > 1e-10 and room or 1e-10)
  end
  local success = s >= threshold and 1 or 0
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
  p.n, p.total, p.last = p.n + 1, p.total + s, text
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
  if p.baseline and not p.had_baseline then
    call('HSET', p.key, 'random_baseline', p.baseline)
  end
  if p.failing then
    call('HDEL', p.key, 'consecutive_failures')
  end
end
