-- index: what draws of labels by weight need (_sampling/label_first.py). Labels that have tasks stand in one of two sorted
-- sets: in `weights`, or in `young` while they have few results. Where a label's mass grows with its tasks, `masses` holds
-- weight times tasks, and is drawn from. Of each label's tasks there is a sorted set too, so that one can be found by its
-- place beside the others.
-- Needs: call, pool, weight, least_count, label_mass_is_tasks, unpack_label, DRAWN, JUDGED_HIGH, JUDGED_GROUPS, YOUNG_HIGH
-- Gives: index_field, index_loaded, index_results, index_join, index_leave, index_holds, index_member, index_mend, index_add
local index_field = 'stats'

local function index_loaded() end

-- Where the group of a score is counted.
local function place_of(score, is_young)
  local mantissa, exponent = math.frexp(score)
  local group = mantissa == 0.5 and exponent - 1 or exponent
  if is_young then
    return JUDGED_GROUPS + YOUNG_HIGH - group
  end
  return score == 0 and JUDGED_GROUPS - 1 or math.min(JUDGED_HIGH - group, JUDGED_GROUPS - 1)
end

-- A label's score in a set changes; nil: it is not in it.
local function rescore(set, label, before, after, is_young)
  if before == after then
    return
  end
  local from, to = before and place_of(before, is_young), after and place_of(after, is_young)
  local unit = is_young and 1 or 4294967296
  local change = math.floor((after or 0) * unit + 0.5) - math.floor((before or 0) * unit + 0.5)
  local words = { 'INCRBY', 'i64', is_young and '#1' or '#0', change }
  if from ~= to then
    local n = 4
    if from then
      words[n + 1], words[n + 2], words[n + 3], words[n + 4] = 'INCRBY', 'u32', '#' .. from + 4, -1
      n = n + 4
    end
    if to then
      words[n + 1], words[n + 2], words[n + 3], words[n + 4] = 'INCRBY', 'u32', '#' .. to + 4, 1
    end
  end
  call('BITFIELD', pool .. 'groups', unpack(words))
  if after then
    call('ZADD', pool .. set, after, label)
  else
    call('ZREM', pool .. set, label)
  end
end

local function score_in(set, label)
  local score = call('ZSCORE', pool .. set, label)
  return score and tonumber(score)
end

-- Put a label of statistics p and so many tasks where it belongs, wherever it stands.
local function place_label(label, p, tasks)
  local judged, young, own
  if tasks > 0 then
    local mass = label_mass_is_tasks and tasks or 1
    if p.completion_count < least_count then
      young = mass
    else
      own = weight(p)
      judged = own * mass
    end
  end
  local before = score_in(DRAWN, label)
  if not (before and judged) then
    rescore('young', label, score_in('young', label), young, true)
  end
  rescore(DRAWN, label, before, judged)
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

-- Returns a task's score among a label's; false: it is not there. It should be '0'.
local function index_holds(id, label)
  return call('ZSCORE', pool .. 'members:' .. label, id)
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
  call('ZREM', pool .. 'masses', label)
  place_again(label, tasks_of(label))
end

-- Add to a number of `groups`: one of the two sums, or the count of a group.
local function index_add(place, amount)
  local kind = tonumber(place) < 2 and 'i64' or 'u32'
  call('BITFIELD', pool .. 'groups', 'INCRBY', kind, '#' .. (kind == 'i64' and place or place + 2), amount)
end
