-- pick: a share for fresh tasks; the others by the sigmoid of their weights' z-scores (_sampling/sigmoid.py).
-- Needs: call, pool, fresh_count, learning_count, ripe_count, all_count, task_at, uniform, index, weight, weight_is_rank,
--   unpack_task, unpack_label, malformed, pooling_is_label, rand_task_rate, exploration_is_bonus, exploration_bonus,
--   exploration_share, eligible_count, MOST_TRIALS, acceptance, all_alike, draws
-- Gives: is_spent, pick
local TRIALS, STRATA_FROM = 64, 32
local ordered = not pooling_is_label and weight_is_rank -- the weight is the sorted sets' score
local share, tried, is_spent, of_label = 0, 0, false, {}
local by_strata -- a function; few calls need it
if fresh_count > 0 then
  share = exploration_is_bonus and fresh_count * exploration_bonus / (1 + fresh_count * exploration_bonus)
    or math.max(exploration_share, fresh_count / all_count)
  share = eligible_count == 0 and 1 or share
end

-- A task that is drawn by its own weight, where a sorted set is in its order: by trials, or from strata.
local function pick_ordered()
  if not by_strata and draws < STRATA_FROM then
    for _ = 1, TRIALS do
      local part, place = 'learning', index(eligible_count)
      if place >= learning_count then
        part, place = 'ripe', place - learning_count
      end
      place = string.format('%d', place)
      local found = call('ZRANGE', pool .. part, place, place, 'WITHSCORES')
      if uniform() < acceptance(tonumber(found[2])) then
        return found[1]
      end
    end
  end
  if not by_strata then
    --@include strata
    by_strata = pick_stratified
  end
  return by_strata()
end

-- Of the weight that is stored of a task or label.
local function acceptance_in(key, unpack_statistics)
  local p, stats = { completion_count = 0 }, call('HGET', key, 'stats')
  if stats then
    unpack_statistics(p, stats, key)
  end
  return acceptance(weight(p))
end

local function pick()
  if rand_task_rate > 0 and uniform() < rand_task_rate then
    return task_at(index(all_count))
  elseif share == 1 or (share > 0 and uniform() < share) then
    return task_at(index(fresh_count))
  elseif all_alike then
    return task_at(fresh_count + index(eligible_count))
  elseif ordered then
    return pick_ordered()
  end
  for _ = 1, MOST_TRIALS do
    tried = tried + 1
    is_spent = tried >= MOST_TRIALS
    local id = task_at(fresh_count + index(eligible_count))
    local key, chance = pool .. 'task:' .. id, nil
    if pooling_is_label then
      local label = call('HGET', key, 'label') or malformed(key, 'label') -- not params: they may be 64 KiB
      chance = of_label[label] or acceptance_in(pool .. 'progress:' .. label, unpack_label)
      of_label[label] = chance
    else
      chance = acceptance_in(key, unpack_task)
    end
    if uniform() < chance then
      return id
    end
  end
end
