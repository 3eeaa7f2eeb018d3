-- results: apply the results (task_id, score, numbers that the family asks for) that `results` holds; outcomes: 1 applied,
-- 0 evicted. Everything is read and computed before the first write.
-- Needs: call, pool, meta_key, epoch_prefix, load_task, load_label, load_pool, fold_task, fold_label, fold_pool, save_task,
--   save_label, store_task, store_label, store_pool, part_of, rank, index_ready, index_results, increase, take_back, counted, RESULT_WIDTH,
--   whole_number, results, results_first, results_last
-- Gives: outcomes
local outcomes, tasks, labels, late = {}, {}, {}, 0
local of_pool = load_pool()
for i = results_first, results_last, RESULT_WIDTH do
  local id, text = results[i], results[i + 1]
  local task = tasks[id]
  if task == nil then
    task = load_task(id) or false
    tasks[id] = task
  end
  if task then
    local label, score = labels[task.label], tonumber(text)
    if not label then
      label = load_label(task.label)
      labels[task.label] = label
    end
    --@generated folds
    task.count, task.last_score = task.count + 1, text
    label.count, label.last_score = label.count + 1, text
    outcomes[#outcomes + 1] = 1
  else
    late = late + 1
    outcomes[#outcomes + 1] = 0
  end
end
if late > 0 then
  whole_number(meta_key, 'late_count', call('HGET', meta_key, 'late_count') or '0')
end
index_ready(tasks, labels)
for name, label in pairs(labels) do
  save_label(name)
  local times = label.count == 1 and '1' or string.format('%d', label.count) -- a number is printed to 17 digits, each time
  increase(pool .. 'count:completions', name, times)
  increase(epoch_prefix .. 'completions', name, times)
end
local placed, said = pcall(index_results, tasks, labels) -- before the records: something else may stand at its keys
if not placed then
  local reason = take_back(said)
  assert(false, reason)
end
counted()
for id, task in pairs(tasks) do
  if task then
    save_task(id)
    store_task(task)
    if task.failing then
      call('HDEL', task.key, 'consecutive_failures')
    end
    local part = part_of(task.completion_count)
    local part_before = part_of(task.completion_count - task.count)
    local score = rank(task)
    if part ~= part_before then
      call('ZREM', pool .. part_before, id)
      call('ZADD', pool .. part, score, id)
    elseif score ~= task.rank_before then
      call('ZADD', pool .. part, score, id)
    end
  end
end
for _, label in pairs(labels) do
  store_label(label)
end
if late < #outcomes then
  store_pool(of_pool)
end
if late > 0 then
  call('HINCRBY', meta_key, 'late_count', late)
end
