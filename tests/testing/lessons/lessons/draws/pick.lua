-- pick: a task of the current lesson; with review_share any task.
-- Needs: call, pool, all_count, task_at, uniform, index, member_of, review_share
-- Gives: is_spent, pick
local is_spent, lesson = false, nil

local function lesson_now()
  local current = call('HGET', pool .. 'own_texts:lesson', 'current')
  if current and call('ZSCORE', pool .. 'own_labels:open', current) then
    return current
  end
  local following = call('ZRANGE', pool .. 'own_labels:open', 0, 0)[1]
  if following then
    call('HSET', pool .. 'own_texts:lesson', 'current', following)
  end
  return following or ''
end

local function pick()
  lesson = lesson or lesson_now()
  if uniform() < review_share or lesson == '' then
    return task_at(index(all_count))
  end
  return member_of(lesson)
end
