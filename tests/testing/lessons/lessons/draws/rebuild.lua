-- rebuild: `open`, from the labels' stages and their numbers of tasks.
-- Needs: call, pool, place_lesson, lesson_tasks
-- Gives: index_clear, index_label, index_tasks
local function index_clear()
  call('UNLINK', pool .. 'own_labels:open')
end

local function index_label(label)
  place_lesson(label, lesson_tasks(label))
end

local function index_tasks() end
