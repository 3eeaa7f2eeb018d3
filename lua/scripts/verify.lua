-- verify: where some tasks stand in the indices, beside what their records say.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation to look at
-- ARGV[2] current str what meta.generation must be; empty: no curriculum
-- ARGV[3] packed_hypers doubles the numbers of the config to judge by
-- ARGV[4..] tasks groups of task_id int, seen str; seen: the label in whose set it was seen, or empty; at most 500
-- Returns for each task the label of its record, its completion_count and its rank by the field `stats`, its scores in fresh,
--   learning and ripe, whether it is in its label's set and index, whether in the given label's set or index, whether draws
--   go by the weight in its record, and the family's own keys have it: one flat list
-- Errors RCSTALE generation: a restore replaced it
-- Reads only. One moment for all of the call.

--@include keys
if (call('HGET', meta_key, 'generation') or '') ~= current then
  return redis.error_reply('RCSTALE ' .. (call('HGET', meta_key, 'generation') or 'gone'))
end
--@include statistics
--@include members
local function in_label(id, label)
  return call('SISMEMBER', pool .. 'label:' .. label, id) == 1
end

local function as_it_should_be(id, task)
  local held = index_holds(id, task.label, task) -- nil where the draws do not keep a label's tasks
  return in_label(id, task.label) and (held == nil or held == '0')
end

local has_weights = call('HGET', meta_key, 'weighted')
--@include own
local function is_weighted_right(id)
  local said, kept = call('HGET', pool .. 'task:' .. id, 'weight'), call('ZSCORE', pool .. 'task_weights', id)
  if not said then
    return not kept
  end
  return kept and (has_weights or generation ~= current) and tonumber(said) == tonumber(kept)
end

local answer = {}
for i = tasks_first, tasks_last, tasks_width do
  local id, seen, n = tasks[i], tasks[i + 1], #answer
  local task = load_task(id)
  if task then
    answer[n + 1], answer[n + 2] = task.label, string.format('%.0f', task.completion_count)
    answer[n + 3] = string.format('%.17g', rank(task))
  else
    answer[n + 1], answer[n + 2], answer[n + 3] = false, false, false
  end
  answer[n + 4] = call('ZSCORE', pool .. 'fresh', id)
  answer[n + 5] = call('ZSCORE', pool .. 'learning', id)
  answer[n + 6] = call('ZSCORE', pool .. 'ripe', id)
  answer[n + 7] = task and as_it_should_be(id, task) and 1 or 0
  answer[n + 8] = seen ~= '' and (in_label(id, seen) or index_holds(id, seen)) and 1 or 0
  answer[n + 9] = is_weighted_right(id) and is_own_right(id, task) and 1 or 0
end
return answer
