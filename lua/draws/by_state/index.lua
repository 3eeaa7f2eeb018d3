-- index: keep each task in the cell of its state, by its weight, and each label where it is looked for.
-- Needs: call, pool, weight, state, cell_at, fixed_weight, cell_add, place_label, place_again, tasks_of,
--   label_factor_is_progress
-- Gives: index_field, index_loaded, index_results, index_join, index_leave
local index_field = 'stats'

local function index_loaded(p)
  if p.label then -- a task
    p.state_before, p.weight_before = state(p), weight(p)
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
