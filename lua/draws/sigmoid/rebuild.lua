-- rebuild: what the draws keep, from nothing: cleared once, then of each label, then of its tasks.
-- Needs: call, pool, index_results
-- Gives: index_clear, index_label, index_tasks
local function index_clear()
  call('UNLINK', pool .. 'weight_sums')
end

local function index_label(label)
  call('HDEL', pool .. 'progress:' .. label, 'eligible_count')
end

-- As if all results of these tasks had come just now.
local function index_tasks(tasks, labels)
  for _, task in pairs(tasks) do
    task.count = task.completion_count
  end
  index_results(tasks, labels)
end
