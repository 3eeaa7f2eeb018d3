-- rebuild: what the draws keep, from nothing: cleared once, then of each label, then of its tasks.
-- Needs: call, pool, place_again, tasks_of
-- Gives: index_clear, index_label, index_tasks
local function index_clear()
  call('UNLINK', pool .. 'weights', pool .. 'masses', pool .. 'young', pool .. 'groups')
end

local function index_label(label)
  place_again(label, tasks_of(label))
end

local function index_tasks() end
