-- index: keep each task in the cell of its state, by its weight, and each label where it is looked for.
-- Needs: call, pool, weight, state, cell_at, fixed_weight, cell_add, place_label, place_again, tasks_of, whole_number,
--   label_factor_is_progress, of_kind
-- Gives: index_field, index_loaded, index_check, index_ready, index_results, index_join, index_leave
local index_field

local function index_loaded(p)
  if p.label then -- a task
    p.state_before, p.weight_before = state(p), weight(p)
  end
end

local function check_cell(s, label)
  local cell = cell_at(s, label)
  whole_number(pool .. 'cell_sums', cell, call('HGET', pool .. 'cell_sums', cell) or '0')
  call('ZCARD', pool .. 'cell:' .. cell)
end

-- Before a task of statistics p joins a label or leaves it.
local function index_check(label, p)
  check_cell(state(p), label)
  tasks_of(label)
  of_kind('zset', pool .. 'weights')
  of_kind('zset', pool .. 'young')
end

-- Before results are written. Cells of several tasks are looked at once.
local function index_ready(tasks, labels)
  local seen = {}
  for _, task in pairs(tasks) do
    for _, s in ipairs(task and { task.state_before, state(task) } or {}) do
      local cell = cell_at(s, task.label)
      if not seen[cell] then
        check_cell(s, task.label)
        seen[cell] = true
      end
    end
  end
  for name in pairs(label_factor_is_progress and labels or {}) do
    tasks_of(name)
    of_kind('zset', pool .. 'weights')
    of_kind('zset', pool .. 'young')
  end
end

-- After results were folded into these tasks and labels.
local function index_results(tasks, labels)
  for id, task in pairs(tasks) do
    if task then
      local from, to = cell_at(task.state_before, task.label), cell_at(state(task), task.label)
      local before, after = task.weight_before, weight(task)
      if from ~= to then
        call('ZREM', pool .. 'cell:' .. from, id)
        cell_add(from, -fixed_weight(before))
        call('ZADD', pool .. 'cell:' .. to, after, id)
        cell_add(to, fixed_weight(after))
      elseif before ~= after then
        call('ZADD', pool .. 'cell:' .. to, after, id)
        cell_add(to, fixed_weight(after) - fixed_weight(before))
      end
    end
  end
  if label_factor_is_progress then
    for name, label in pairs(labels) do
      place_label(name, label, tasks_of(name))
    end
  end
end

-- A task of statistics p has joined a label.
local function index_join(id, label, p)
  local cell, h = cell_at(state(p), label), weight(p)
  call('ZADD', pool .. 'cell:' .. cell, h, id)
  cell_add(cell, fixed_weight(h))
  if label_factor_is_progress and tasks_of(label) == 1 then
    place_again(label, 1)
  end
end

-- A task is about to leave a label.
local function index_leave(id, label, p)
  local cell = cell_at(state(p), label)
  call('ZREM', pool .. 'cell:' .. cell, id)
  cell_add(cell, -fixed_weight(weight(p)))
  if label_factor_is_progress and tasks_of(label) == 1 then
    place_again(label, 0)
  end
end
