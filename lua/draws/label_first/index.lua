-- index: keep labels where draws look for them (_sampling/label_first.py). Of each label's tasks there is a sorted set
-- beside the set, so that one can be found by its place.
-- Needs: call, pool, label_mass_is_tasks, look_up, place_found, tasks_of, place_again, of_kind
-- Gives: index_field, index_loaded, index_check, index_ready, index_results, index_join, index_leave
local index_field

local function index_loaded() end

-- Before a task joins a label or leaves it.
local function index_check(label)
  tasks_of(label)
  look_up(label, {})
  of_kind('string', pool .. 'groups')
  of_kind('zset', pool .. 'weights')
  of_kind('zset', pool .. 'members:' .. label)
end

local ready = {}

-- Before results are written: what index_results goes by.
local function index_ready(_, labels)
  for name, label in pairs(labels) do
    ready[name] = look_up(name, label)
    if label_mass_is_tasks then
      ready[name].tasks = tasks_of(name)
      of_kind('zset', pool .. 'weights')
    end
  end
end

-- After results were folded into these labels; each has tasks.
local function index_results(_, labels)
  for name, label in pairs(labels) do
    local found = ready[name]
    place_found(name, label, found.tasks, found)
  end
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
