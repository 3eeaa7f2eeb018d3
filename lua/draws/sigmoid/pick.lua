-- pick: a share for fresh tasks; the others by the sigmoid of their weights' z-scores (_sampling/sigmoid.py).
-- Needs: call, pool, fresh_count, learning_count, ripe_count, all_count, id_at, task_at, uniform, index, weight,
--   weight_is_rank, unpack_task, unpack_label, malformed, pooling_is_label, rand_task_rate, exploration_is_bonus,
--   exploration_bonus, exploration_share, MOST_TRIALS, load_moments, acceptance, all_alike
-- Gives: prepare_picks, is_spent, pick
local TRIALS, STRATA_FROM = 64, 32
local eligible_count = learning_count + ripe_count
local ordered = not pooling_is_label and weight_is_rank -- the weight is the sorted sets' score
local wanted_draws, share, tried = 0, 0, 0
local by_strata -- a function; few calls need it

local function prepare_picks(count)
  wanted_draws = count
  if fresh_count > 0 then
    local held = exploration_is_bonus and fresh_count * exploration_bonus / (1 + fresh_count * exploration_bonus)
      or math.max(exploration_share, fresh_count / all_count)
    share = eligible_count == 0 and 1 or held
  end
  load_moments(eligible_count)
end

local function is_spent()
  return tried >= MOST_TRIALS
end

-- The task at a place of learning, then ripe, in ascending order; with its score where the sets are in order of the weight.
local function eligible_at(place)
  local part = 'learning'
  if place >= learning_count then
    part, place = 'ripe', place - learning_count
  end
  if ordered then
    return id_at(part, place, 'WITHSCORES')
  end
  return id_at(part, place)
end

local function weight_in(key, unpack_statistics)
  local p, stats = { completion_count = 0 }, call('HGET', key, 'stats')
  if stats then
    unpack_statistics(p, stats, key)
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
  local key = pool .. 'task:' .. id
  local label = call('HGET', key, 'label') or malformed(key, 'label') -- not params: they may be 64 KiB
  local known = of_label[label]
  if not known then
    known = acceptance(weight_in(pool .. 'progress:' .. label, unpack_label))
    of_label[label] = known
  end
  return known
end

local function pick_eligible()
  if all_alike() then
    return (eligible_at(index(eligible_count)))
  end
  if not (ordered and (by_strata or wanted_draws >= STRATA_FROM)) then
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
  if not by_strata then
    --@include strata
    by_strata = pick_stratified
  end
  return by_strata()
end

local function pick()
  if rand_task_rate > 0 and uniform() < rand_task_rate then
    return task_at(index(all_count))
  elseif share == 1 or (share > 0 and uniform() < share) then
    return (id_at('fresh', index(fresh_count)))
  end
  return pick_eligible()
end
