-- count_samples: each drawn task counts as sampled, once a draw; appends what a worker needs to play: id, label, params.
-- Needs: call, pool, save_task, save_label, epoch_prefix, malformed, whole_number, increase, counted
-- Gives: count_samples
local function count_samples(ids, answer)
  local n, labels, by_label = #answer, {}, {}
  for i, id in ipairs(ids) do
    local key = pool .. 'task:' .. id
    local task = call('HMGET', key, 'label', 'params', 'sample_count')
    labels[i] = task[1]
    if task[1] then
      whole_number(key, 'sample_count', task[3] or '0')
      answer[n + 1], answer[n + 2], answer[n + 3] = id, task[1], task[2] or malformed(key, 'params')
      n = n + 3
    end
  end
  for i = 1, #ids do
    local label = labels[i]
    if label then
      by_label[label] = (by_label[label] or 0) + 1
    end
  end
  for label, count in pairs(by_label) do
    save_label(label)
    count = string.format('%d', count) -- a number would be printed to 17 digits, each time
    increase(pool .. 'count:samples', label, count)
    increase(epoch_prefix .. 'samples', label, count)
  end
  counted()
  for i, id in ipairs(ids) do
    if labels[i] then
      save_task(id)
      call('HINCRBY', pool .. 'task:' .. id, 'sample_count', '1')
    end
  end
end
