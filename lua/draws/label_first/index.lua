-- index: what draws of labels by weight need (_sampling/label_first.py). Labels that have tasks stand in one of two sorted
-- sets: `weights`, or `young` while they have few results. Where a label's mass grows with its tasks, `masses` holds
-- weight times tasks. Scores in (2^(e-1), 2^e] are a group: the hash `sums` counts the labels of each, in the set that is
-- drawn from (field e) and in `young` (field young:e), and adds up the scores as integers of 32 binary places (fields
-- total and young:total). Of each label's tasks there is a sorted set too, so that one can be found by its place.
-- Needs: call, pool, weight, least_count, label_mass_is_tasks, unpack_label
-- Gives: index_field, index_loaded, index_results, index_join, index_leave, index_holds, index_member, index_mend, DRAWN
local index_field = 'stats'
local DRAWN = label_mass_is_tasks and 'masses' or 'weights'

local function index_loaded() end

local function group_of(score)
  local mantissa, exponent = math.frexp(score)
  return mantissa == 0.5 and exponent - 1 or exponent
end

local function count_group(field, by)
  if call('HINCRBY', pool .. 'sums', field, by) == 0 then
    call('HDEL', pool .. 'sums', field)
  end
end

-- A label's score in a set changes; nil: it is not in it. `stem`: what the set's fields in `sums` begin with.
local function rescore(set, stem, label, before, after)
  if before == after then
    return
  end
  if after then
    call('ZADD', pool .. set, after, label)
  else
    call('ZREM', pool .. set, label)
  end
  local from, to = before and group_of(before), after and group_of(after)
  if from ~= to then
    if from then
      count_group(stem .. from, -1)
    end
    if to then
      count_group(stem .. to, 1)
    end
  end
  local change = math.floor((after or 0) * 4294967296 + 0.5) - math.floor((before or 0) * 4294967296 + 0.5)
  if change ~= 0 then
    count_group(stem .. 'total', change)
  end
end

local function score_in(set, label)
  local score = call('ZSCORE', pool .. set, label)
  return score and tonumber(score)
end

-- Put a label of statistics p and so many tasks where it belongs, wherever it stands.
local function place_label(label, p, tasks)
  local known, young, own
  if tasks > 0 then
    local mass = label_mass_is_tasks and tasks or 1
    if p.completion_count < least_count then
      young = mass
    else
      own = weight(p)
      known = own * mass
    end
  end
  local before = score_in(DRAWN, label)
  if not (before and known) then
    rescore('young', 'young:', label, score_in('young', label), young)
  end
  rescore(DRAWN, '', label, before, known)
  if label_mass_is_tasks then
    if own then
      call('ZADD', pool .. 'weights', own, label)
    else
      call('ZREM', pool .. 'weights', label)
    end
  end
end

local function tasks_of(label)
  return tonumber(call('HGET', pool .. 'labels', label) or 0)
end

-- After results were folded into these labels; each has tasks.
local function index_results(_, labels)
  for name, label in pairs(labels) do
    place_label(name, label, label_mass_is_tasks and tasks_of(name) or 1)
  end
end

local function place_again(label, tasks)
  local p, stats = { completion_count = 0 }, call('HGET', pool .. 'progress:' .. label, 'stats')
  if stats then
    unpack_label(p, stats)
  end
  place_label(label, p, tasks)
end

local function recount(label, before, after)
  if label_mass_is_tasks or before == 0 or after == 0 then
    place_again(label, after)
  end
end

-- A task has joined a label.
local function index_join(id, label)
  call('ZADD', pool .. 'members:' .. label, 0, id)
  local tasks = tasks_of(label)
  recount(label, tasks - 1, tasks)
end

-- A task is about to leave a label.
local function index_leave(id, label)
  call('ZREM', pool .. 'members:' .. label, id)
  local tasks = tasks_of(label)
  recount(label, tasks, tasks - 1)
end

-- Whether a task is among a label's here.
local function index_holds(id, label)
  return call('ZSCORE', pool .. 'members:' .. label, id) ~= false
end

local function index_member(id, label, is_one)
  if is_one then
    call('ZADD', pool .. 'members:' .. label, 0, id)
  else
    call('ZREM', pool .. 'members:' .. label, id)
  end
end

-- A label stands in the wrong place: take it out of every set, then put it where it belongs.
local function index_mend(label)
  place_label(label, {}, 0)
  place_again(label, tasks_of(label))
end
