-- repair_tasks: put tasks where their records say they belong.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] min_samples_for_lp int completions
-- ARGV[3] min_presentations_for_eviction int completions
-- ARGV[4..] tasks groups of task_id int, seen str, label str, label_hash int; seen: in whose set it was seen, or empty; label and its hash as the record shall have them
-- Returns number of tasks without a record that were taken out of the indices
-- Errors RCSTALE generation: a restore replaced it
-- Atomic. O(tasks x log pool).

--@include keys
--@include reader
local min_samples, min_presentations, gone = tonumber(min_samples_for_lp), tonumber(min_presentations_for_eviction), 0
for i = tasks_first, tasks_last, tasks_width do
  local id, seen, label, label_hash = unpack(tasks, i, i + 3)
  local key = pool .. 'task:' .. id
  local task = call('HMGET', key, 'completion_count', 'learning_progress', 'label')
  local n, right = tonumber(task[1]), nil
  if task[3] and n then
    right = n < min_samples and 'fresh' or n < min_presentations and 'learning' or 'ripe'
    call('ZADD', pool .. right, task[2] or 0, id)
    call('SADD', pool .. 'label:' .. task[3], id)
    call('HSET', key, 'task_id', id)
    if task[3] == label then
      call('HSET', key, 'label_hash', label_hash)
    end
  else
    gone = gone + 1
  end
  for _, part in ipairs({ 'fresh', 'learning', 'ripe' }) do
    if part ~= right then
      call('ZREM', pool .. part, id)
    end
  end
  if seen ~= '' and seen ~= task[3] then
    call('SREM', pool .. 'label:' .. seen, id)
  end
end
return gone
