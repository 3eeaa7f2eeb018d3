-- count_samples: each drawn task counts as sampled, once a draw; appends what a worker needs to play: id, label, params.
-- Needs: call, pool, save_task, save_label, epoch_prefix
-- Gives: count_samples
local function count_samples(ids, answer)
  local n, by_label = #answer, {}
  for _, id in ipairs(ids) do
    local key = pool .. 'task:' .. id
    local task = call('HMGET', key, 'label', 'params')
    local label = task[1]
    if label then
      save_task(id)
      call('HINCRBY', key, 'sample_count', '1')
      by_label[label] = (by_label[label] or 0) + 1
      answer[n + 1], answer[n + 2], answer[n + 3] = id, label, task[2]
      n = n + 3
    end
  end
  for label, count in pairs(by_label) do
    save_label(label)
    count = string.format('%d', count) -- a number would be printed to 17 digits, each time
    call('HINCRBY', pool .. 'count:samples', label, count)
    call('HINCRBY', epoch_prefix .. 'samples', label, count)
  end
end
