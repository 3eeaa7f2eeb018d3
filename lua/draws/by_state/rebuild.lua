-- rebuild: what the draws keep, from nothing: cleared once, then of each label, then of its tasks.
-- Needs: call, pool, weight, state, cell_at, fixed_weight, cell_add, place_again, tasks_of
-- Gives: index_clear, index_label, index_tasks
local function index_clear()
  local sums = call('HGETALL', pool .. 'cell_sums')
  for i = 1, #sums, 2 do
    call('UNLINK', pool .. 'cell:' .. sums[i])
  end
  call('UNLINK', pool .. 'cell_sums', pool .. 'weights', pool .. 'young')
end

local function index_label(label)
  place_again(label, tasks_of(label))
end

local function index_tasks(tasks)
  for id, task in pairs(tasks) do
    local cell, h = cell_at(state(task), task.label), weight(task)
    call('ZADD', pool .. 'cell:' .. cell, h, id)
    cell_add(cell, fixed_weight(h))
  end
end
