-- reindex: one step of building the indices anew, after a change of settings that they depend on. Whoever calls it goes on
-- where the last call has stopped.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- Returns 1 where more is to be done, else 0
-- Errors RCSTALE generation: a restore replaced it
-- Atomic. At most 200 tasks or 500 labels. Until the last step no worker writes (include/guard). The new sorted sets grow
--   beside the old ones, and take their places together; then the tasks that a smaller pool has no room for go, lowest first.

--@include keys
--@include reader
local phase, cursor = string.match(call('HGET', meta_key, 'unindexed') or '', '^(%l+) (%d+)$')
if not phase then
  return 0
end
local meta = call('HMGET', meta_key, 'generation', 'epoch', 'snapshot')
--@include clock
--@include stored_hypers
--@include statistics
--@include place
--@include rebuild
--@include event
--@include remove
local TASKS, LABELS, REMOVED, PARTS = 200, 500, 50, { 'fresh', 'learning', 'ripe' }
local FOLLOWING = { fresh = 'learning', learning = 'ripe' }

local function go_on(next_phase, next_cursor)
  call('HSET', meta_key, 'unindexed', next_phase .. ' ' .. next_cursor)
  return 1
end

local function clear()
  index_clear()
  for _, part in ipairs(PARTS) do
    call('UNLINK', pool .. 'reindexed:' .. part)
  end
  return go_on('labels', 0)
end

local function take_labels()
  local page = call('HSCAN', pool .. 'labels', cursor, 'COUNT', LABELS)
  for i = 1, #page[2], 2 do
    index_label(page[2][i])
  end
  if page[1] == '0' then
    return go_on('fresh', 0)
  end
  return go_on('labels', page[1])
end

-- Returns how many there were at the cursor.
local function take_tasks(part)
  local ids, tasks, labels = call('ZRANGE', pool .. part, cursor, cursor + TASKS - 1), {}, {}
  local members = { fresh = {}, learning = {}, ripe = {} }
  for _, id in ipairs(ids) do
    local task = load_task(id)
    if task then
      local into = members[part_of(task.completion_count)]
      tasks[id] = task
      labels[task.label] = labels[task.label] or load_label(task.label)
      into[#into + 1] = rank(task)
      into[#into + 1] = id
    end
  end
  for right, into in pairs(members) do
    if into[1] then
      call('ZADD', pool .. 'reindexed:' .. right, unpack(into))
    end
  end
  index_tasks(tasks, labels)
  return #ids
end

local function exchange()
  for _, part in ipairs(PARTS) do
    call('UNLINK', pool .. part)
    if call('EXISTS', pool .. 'reindexed:' .. part) == 1 then
      call('RENAME', pool .. 'reindexed:' .. part, pool .. part)
    end
  end
end

local function lowest()
  local found, least = nil, math.huge
  for _, part in ipairs(PARTS) do
    local first = call('ZRANGE', pool .. part, 0, 0, 'WITHSCORES')
    if first[1] and tonumber(first[2]) < least then
      found, least = first[1], tonumber(first[2])
    end
  end
  return found
end

local function remove_surplus()
  local surplus = -num_active_tasks
  for _, part in ipairs(PARTS) do
    surplus = surplus + call('ZCARD', pool .. part)
  end
  for _ = 1, math.min(surplus, REMOVED) do
    local id = lowest()
    local gone = remove_task(id, now_ms())
    if gone then
      event('event', 'evicted', 'task_id', id, 'label', gone.label, 'learning_progress', gone.learning_progress or '')
    else -- it has no record: somebody has meddled
      for _, part in ipairs(PARTS) do
        call('ZREM', pool .. part, id)
      end
    end
  end
  return surplus > REMOVED
end

if phase == 'start' then
  return clear()
elseif phase == 'labels' then
  return take_labels()
elseif phase ~= 'surplus' then
  if take_tasks(phase) == TASKS then
    return go_on(phase, cursor + TASKS)
  elseif FOLLOWING[phase] then
    return go_on(FOLLOWING[phase], 0)
  end
  exchange()
  return go_on('surplus', 0)
elseif remove_surplus() then
  return 1
end
call('HDEL', meta_key, 'unindexed')
return 0
