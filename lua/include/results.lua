-- results: apply the (task_id, score) pairs that `results` holds from `first` to `last`; outcomes: 1 applied, 0 evicted.
-- Everything is read and computed before the first write.
-- Needs: call, pool, meta_key, load_progress, fold, min_samples, save_task, store_progress, part_of, pooled,
--   sums_move, drive, save_label, epoch_prefix, sums_flush
-- Gives: apply_results
local function apply_results(results, first, last)
  local outcomes, tasks, labels, late = {}, {}, {}, 0
  for i = first, last, 2 do
    local id, text = results[i], results[i + 1]
    local task, r = tasks[id], nil
    if task == nil then
      task, r = load_progress(pool .. 'task:' .. id, 'label', 'consecutive_failures')
      task.label, task.failing = r[10], r[11]
      task = task.label and task
      tasks[id] = task
    end
    if task then
      local label, score = labels[task.label], tonumber(text)
      if not label then
        label, r = load_progress(pool .. 'progress:' .. task.label, 'eligible_count')
        label.eligible, label.joining = tonumber(r[10] or 0), 0
        labels[task.label] = label
      end
      fold(task, score, text)
      fold(label, score, text)
      if task.n == min_samples then
        label.joining = label.joining + 1
      end
    else
      late = late + 1
    end
    outcomes[#outcomes + 1] = task and 1 or 0
  end

  for id, task in pairs(tasks) do
    if task then
      save_task(id)
      store_progress(task)
      if task.failing then
        call('HDEL', task.key, 'consecutive_failures')
      end
      local before = task.n - task.count
      local part, part_before = part_of(task.n), part_of(before)
      call('ZADD', pool .. part, task.lp, id)
      if part ~= part_before then
        call('ZREM', pool .. part_before, id)
      end
      if not pooled and task.n >= min_samples then
        local was = before >= min_samples and 1 or 0
        sums_move(was, drive(task.lp_before, task.true_before), 1, drive(task.lp, task.true_))
      end
    end
  end
  for name, label in pairs(labels) do
    save_label(name)
    store_progress(label)
    local eligible = label.eligible + label.joining
    if label.joining > 0 then
      call('HSET', label.key, 'eligible_count', eligible)
    end
    if pooled then
      sums_move(label.eligible, drive(label.lp_before, label.true_before), eligible, drive(label.lp, label.true_))
    end
    call('HINCRBY', pool .. 'count:completions', name, label.count)
    call('HINCRBY', epoch_prefix .. 'completions', name, label.count)
  end
  sums_flush()
  if late > 0 then
    call('HINCRBY', meta_key, 'late_count', late)
  end
  return outcomes
end
