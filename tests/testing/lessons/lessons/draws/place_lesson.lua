-- place_lesson: a label that is not passed stands in `open`, with its number of tasks.
-- Needs: call, pool, whole_number
-- Gives: place_lesson, lesson_tasks
local function lesson_tasks(label)
  return whole_number(pool .. 'labels', label, call('HGET', pool .. 'labels', label) or '0')
end

local function place_lesson(label, tasks)
  if tasks > 0 and tonumber(call('ZSCORE', pool .. 'own_labels:stage', label) or 0) == 0 then
    call('ZADD', pool .. 'own_labels:open', tasks, label)
  else
    call('ZREM', pool .. 'own_labels:open', label)
  end
end
