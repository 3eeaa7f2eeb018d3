-- pick: a share for fresh tasks; the others by the sigmoid of their weights' z-scores (_sampling/sigmoid.py).
-- Needs: call, pool, fresh_count, learning_count, ripe_count, all_count, id_at, task_at, uniform, index, fixed, weight,
--   weight_is_rank, unpack_task, unpack_label, pooling_is_label, temperature, progress_smoothing,
--   z_score_amplification, rand_task_rate, exploration_is_bonus, exploration_bonus, exploration_share
-- Gives: prepare_picks, is_spent, pick
local TRIALS, MOST_TRIALS, STRATA_FROM = 64, 1024, 32
local eligible_count = learning_count + ripe_count
local ordered = not pooling_is_label and weight_is_rank -- the weight is the sorted sets' score
local equal, mean, std = false, 0, 1
local wanted_draws, share, tried = 0, 0, 0

local function prepare_picks(count)
  wanted_draws = count
  if fresh_count > 0 then
    local held = exploration_is_bonus and fresh_count * exploration_bonus / (1 + fresh_count * exploration_bonus)
      or math.max(exploration_share, fresh_count / all_count)
    share = eligible_count == 0 and 1 or held
  end
  if eligible_count > 0 and temperature == 0 then
    local sums = call('HMGET', pool .. 'weight_sums', 's', 'q0', 'q1', 'q2')
    mean = (sums[1] or 0) / eligible_count
    local square = (sums[4] or 0) * 4398046511104 + (sums[3] or 0) * 4194304 + (sums[2] or 0)
    local variance = square / eligible_count - mean * mean
    equal = variance <= mean * mean * 1e-14
    std = equal and 1 or math.sqrt(variance)
  end
end

local function is_spent()
  return tried >= MOST_TRIALS
end

-- The chance that a task of weight y is accepted.
local function acceptance(y)
  if temperature > 0 then
    return 1 / (1 + math.exp(-(y + progress_smoothing) / temperature))
  end
  return 1 / (1 + math.exp(-z_score_amplification * ((fixed(y) - mean) / std)))
end

-- The rank-th of learning, then ripe, in ascending order; with its score where the sets are in order of the weight.
local function eligible_at(rank)
  local part = 'learning'
  if rank >= learning_count then
    part, rank = 'ripe', rank - learning_count
  end
  if ordered then
    return id_at(part, rank, 'WITHSCORES')
  end
  return id_at(part, rank)
end

local function weight_in(key, unpack_statistics)
  local p, stats = { completion_count = 0 }, call('HGET', key, 'stats')
  if stats then
    unpack_statistics(p, stats)
  end
  return weight(p)
end

local of_label = {}
local function acceptance_of(id, score)
  if ordered then
    return acceptance(tonumber(score))
  end
  if not pooling_is_label then
    return acceptance(weight_in(pool .. 'task:' .. id, unpack_task))
  end
  local label = call('HGET', pool .. 'task:' .. id, 'label') -- not params: they may be 64 KiB, and many a trial fails
  local known = of_label[label]
  if not known then
    known = acceptance(weight_in(pool .. 'progress:' .. label, unpack_label))
    of_label[label] = known
  end
  return known
end

-- Strata of descending weight, each a quarter of what lies above it: the envelope exceeds the mass by a quarter at most.
local strata
local function build_strata()
  strata = { total = 0 }
  for _, part in ipairs({ 'learning', 'ripe' }) do
    local count, start = part == 'learning' and learning_count or ripe_count, 0
    while start < count do
      local size = math.min(math.max(1, math.floor(start / 4)), count - start)
      local top = call('ZREVRANGE', pool .. part, start, start, 'WITHSCORES')
      local a = acceptance(tonumber(top[2]))
      strata.total = strata.total + size * a
      strata[#strata + 1] = { part = part, start = start, size = size, top = a, upto = strata.total, id = top[1] }
      start = start + size
    end
  end
end

local function pick_stratified()
  for _ = 1, MOST_TRIALS do
    local v, low, high = uniform() * strata.total, 1, #strata
    while low < high do
      local middle = math.floor((low + high) / 2)
      if v < strata[middle].upto then
        high = middle
      else
        low = middle + 1
      end
    end
    local stratum = strata[low]
    if stratum.size == 1 then
      return stratum.id
    end
    local rank = string.format('%d', stratum.start + index(stratum.size))
    local found = call('ZREVRANGE', pool .. stratum.part, rank, rank, 'WITHSCORES')
    if uniform() * stratum.top < acceptance(tonumber(found[2])) then
      return found[1]
    end
  end
end

local function pick_eligible()
  if equal or (temperature == 0 and z_score_amplification == 0) then
    return (eligible_at(index(eligible_count)))
  end
  if not (ordered and (strata or wanted_draws >= STRATA_FROM)) then
    for _ = 1, ordered and TRIALS or MOST_TRIALS do
      tried = tried + (ordered and 0 or 1)
      local id, score = eligible_at(index(eligible_count))
      if uniform() < acceptance_of(id, score) then
        return id
      end
    end
    if not ordered then
      return nil
    end
  end
  if not strata then
    build_strata()
  end
  return pick_stratified()
end

local function pick()
  if rand_task_rate > 0 and uniform() < rand_task_rate then
    return task_at(index(all_count))
  elseif share == 1 or (share > 0 and uniform() < share) then
    return (id_at('fresh', index(fresh_count)))
  end
  return pick_eligible()
end
