-- index: labels are passed by their results, and stand in `open` until then.
-- Needs: call, pool, place_lesson, lesson_tasks, pass_rate, least_count
-- Gives: index_field, index_loaded, index_check, index_ready, index_results, index_join, index_leave
local index_field = 'stats'
local function index_loaded() end
local index_check, index_ready = index_loaded, index_loaded

local function index_results(_, labels)
  for name, label in pairs(labels) do
    if label.completion_count >= least_count and label.success_rate_ema >= pass_rate then
      call('ZADD', pool .. 'own_labels:stage', 1, name)
      call('HSET', pool .. 'own_texts:notes', name, 'passed')
      place_lesson(name, lesson_tasks(name))
    end
  end
end

local function index_join(_, label)
  place_lesson(label, lesson_tasks(label))
end

local function index_leave(_, label)
  place_lesson(label, lesson_tasks(label) - 1)
end
