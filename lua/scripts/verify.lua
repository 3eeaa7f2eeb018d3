-- verify: where some tasks stand in the indices, beside what their records say.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation to look at
-- ARGV[2] current str what meta.generation must be; empty: no curriculum
-- ARGV[3..] tasks groups of task_id int, seen str; seen: the label in whose set it was seen, or empty; at most 500
-- Returns for each task completion_count, learning_progress, p_true, label, label_hash, task_id as the record has them,
--   its scores in fresh, learning and ripe, whether it is in its label's set, whether in the given label's: one flat list
-- Errors RCSTALE generation: a restore replaced it
-- Reads only. One moment for all of the call.

--@include keys
if (call('HGET', meta_key, 'generation') or '') ~= current then
  return redis.error_reply('RCSTALE ' .. (call('HGET', meta_key, 'generation') or 'gone'))
end
local answer = {}
for i = tasks_first, tasks_last, tasks_width do
  local id, seen, n = tasks[i], tasks[i + 1], #answer
  local task = call('HMGET', pool .. 'task:' .. id, 'completion_count', 'learning_progress', 'p_true', 'label',
    'label_hash', 'task_id')
  for j = 1, 6 do
    answer[n + j] = task[j]
  end
  answer[n + 7] = call('ZSCORE', pool .. 'fresh', id)
  answer[n + 8] = call('ZSCORE', pool .. 'learning', id)
  answer[n + 9] = call('ZSCORE', pool .. 'ripe', id)
  answer[n + 10] = task[4] and call('SISMEMBER', pool .. 'label:' .. task[4], id) or 0
  answer[n + 11] = seen ~= '' and call('SISMEMBER', pool .. 'label:' .. seen, id) or 0
end
return answer
