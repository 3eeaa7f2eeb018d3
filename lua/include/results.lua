-- results: apply the (task_id, score) pairs that ARGV holds from `first` to `last`; outcomes: 1 applied, 0 evicted.
-- Everything is read and computed before the first write.
local function apply_results(first, last)
  local outcomes, tasks, labels, order = {}, {}, {}, {}
  for i = first, last, 2 do
    local id = ARGV[i]
    local task = tasks[id]
    if not task then
      task = load_progress(pool .. 'task:' .. id)
      tasks[id] = task
      if task.label then
        order[#order + 1] = id
      end
    end
    if task.label then
      local label = labels[task.label]
      if not label then
        label = load_progress(pool .. 'progress:' .. task.label)
        labels[task.label] = label
      end
      local text = ARGV[i + 1]
      local score = tonumber(text)
      fold(task, score, text)
      fold(label, score, text)
      label.count = label.count + 1
      if task.n == min_samples then
        label.eligible = label.eligible + 1
      end
    end
    outcomes[#outcomes + 1] = task.label and 1 or 0
  end

  for _, id in ipairs(order) do
    local task = tasks[id]
    save_task(id)
    store_progress(task)
    local part, part_before = part_of(task.n), part_of(task.before)
    call('ZADD', pool .. part, task.lp, id)
    if part ~= part_before then
      call('ZREM', pool .. part_before, id)
    end
    if not pooled and task.n >= min_samples then
      local was = task.before >= min_samples and 1 or 0
      sums_move(was, drive(task.lp_before, task.true_before), 1, drive(task.lp, task.true_))
    end
  end
  for name, label in pairs(labels) do
    save_label(name)
    store_progress(label)
    if label.eligible ~= label.eligible_before then
      call('HSET', label.key, 'eligible_count', label.eligible)
    end
    if pooled then
      sums_move(label.eligible_before, drive(label.lp_before, label.true_before), label.eligible,
        drive(label.lp, label.true_))
    end
    call('HINCRBY', pool .. 'count:completions', name, label.count)
    call('HINCRBY', epoch .. 'completions', name, label.count)
  end
  sums_flush()
  if #order < #outcomes then
    local late = 0
    for _, outcome in ipairs(outcomes) do
      late = late + 1 - outcome
    end
    if late > 0 then
      call('HINCRBY', KEYS[1], 'late_count', late)
    end
  end
  return outcomes
end
