-- group_progress: the twin of redis_curriculum/scorers/group_progress.py, in the same order of operations.
-- Needs: track, fold_averages, debiased_weight, least_yield, room_power
-- Gives: fold_task, fold_label, fold_pool, state, STATES, rank, weight, state_weight, label_weight, fresh_until, ripe_from, replacement, evictable_share
local fresh_until, ripe_from, replacement, evictable_share = 1, 9007199254740992, 0, 1
local STATES, NAMES = 7, { [0] = 'fresh', 'wrong_1', 'wrong_2', 'wrong_3', 'wrong_4', 'mixed', 'right' }
local YIELD_RATE, LONGEST, LUCKY = 1 / 64, 1000000, 2
local RATES, WARM_UP, NOISE_FACTOR = { 1 / 128, 1 / 256, 1 / 512 }, { 16, 8, 4 }, 2

-- The share of a group's trials that succeeded, and its outcome: 0 all wrong, 1 mixed, 2 all right.
local function group_of(s, trials)
  local successes = math.floor(s * trials + 0.5)
  return successes / trials, successes == 0 and 0 or successes == trials and 2 or 1
end

local function state(p)
  if p.completion_count == 0 then
    return 0
  elseif p.outcome == 0 then
    return p.run < 4 and p.run or 4
  end
  return p.outcome == 1 and 5 or 6
end

local function fold_task(p, s, trials)
  local x, outcome = group_of(s, trials)
  track(p, s)
  p.group_mean = p.group_mean and (p.group_mean + x) / 2 or x
  p.run = p.outcome == outcome and (p.run < LONGEST and p.run + 1 or p.run) or 1
  p.outcome = outcome
end

local function fold_label(p, s)
  local n = p.completion_count
  track(p, s)
  fold_averages(p, s, n, RATES, WARM_UP)
end

local function fold_pool(of_pool, p, s, trials)
  local _, outcome = group_of(s, trials)
  for i = 0, STATES - 1 do
    local count, yield = 'count_' .. NAMES[i], 'yield_' .. NAMES[i]
    of_pool[count], of_pool[yield] = of_pool[count] or 0, of_pool[yield] or 0
  end
  local name = NAMES[state(p)]
  local n, y = of_pool['count_' .. name] + 1, of_pool['yield_' .. name]
  local rate = 1 / n
  rate = rate > YIELD_RATE and rate or YIELD_RATE
  of_pool['count_' .. name], of_pool['yield_' .. name] = n, y + rate * ((outcome == 1 and 1 or 0) - y)
end

local function rank()
  return 0
end

local function weight(p)
  local room, h = 1 - (p.group_mean or 0), 1
  for _ = 1, room_power do
    h = h * room
  end
  if p.outcome == 1 and p.run > LUCKY then
    h = h * (LUCKY / p.run)
  end
  return h
end

local function state_weight(s, of_pool)
  local n, y = of_pool['count_' .. NAMES[s]] or 0, of_pool['yield_' .. NAMES[s]] or 0
  y = y + (0.5 - y) * 4 / (n + 4)
  y = y > least_yield and y or least_yield
  return y * y
end

local function label_weight(p)
  return debiased_weight(p, RATES, WARM_UP, NOISE_FACTOR)
end
