-- repair_tasks: put tasks where their records say they belong.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] config_version int the version of the config that the repair was computed by
-- ARGV[3..] tasks groups of task_id int, seen str; seen: the label in whose set it was seen, or empty
-- Returns number of tasks without a record that were taken out of the indices
-- Errors RCSTALE generation: a restore replaced it; RCUNINDEXED version: reindex first; RCCONFIG version: the config has changed
-- Atomic. O(tasks x log pool).

--@include keys
--@include reader
--@include settled
--@include stored_hypers
--@include statistics
--@include packing
--@include members
--@include place
--@include own
local function mend_weight(id, key)
  local weight = call('HGET', key, 'weight')
  local number = tonumber(weight or '')
  if number and number >= 0 and number <= 1000000 then
    call('ZADD', pool .. 'task_weights', weight, id)
    call('HSET', meta_key, 'weighted', 1)
  else -- none, or what somebody has made of it
    call('HDEL', key, 'weight')
    call('ZREM', pool .. 'task_weights', id)
  end
end

local gone = 0
for i = tasks_first, tasks_last, tasks_width do
  local id, seen = tasks[i], tasks[i + 1]
  local task, right = load_task(id), nil
  if task then
    right = part_of(task.completion_count)
    call('ZADD', pool .. right, rank(task), id)
    call('SADD', pool .. 'label:' .. task.label, id)
    index_member(id, task.label, true, task)
    mend_weight(id, task.key)
    begin_own(OWN_TASKS, id)
    if task.completion_count > 0 then -- what people read is written anew from `stats`
      task.last_score = call('HGET', task.key, 'last_score') or 0
      store_task(task)
    else
      call('HSET', task.key, 'completion_count', 0)
    end
  else
    gone = gone + 1
    call('ZREM', pool .. 'task_weights', id)
    forget_own(OWN_TASKS, id)
  end
  for _, part in ipairs({ 'fresh', 'learning', 'ripe' }) do
    if part ~= right then
      call('ZREM', pool .. part, id)
    end
  end
  if seen ~= '' and not (task and seen == task.label) then
    call('SREM', pool .. 'label:' .. seen, id)
    index_member(id, seen, false)
  end
end
return gone
