-- count_samples: each drawn task counts as sampled, once a draw; returns what a worker needs to play: id, label, params.
local function count_samples(ids)
  local replies, by_label = {}, {}
  for _, id in ipairs(ids) do
    local key = pool .. 'task:' .. id
    local task = call('HMGET', key, 'label', 'params')
    if task[1] then
      save_task(id)
      call('HINCRBY', key, 'sample_count', 1)
      by_label[task[1]] = (by_label[task[1]] or 0) + 1
      local n = #replies
      replies[n + 1], replies[n + 2], replies[n + 3] = id, task[1], task[2]
    end
  end
  for label, count in pairs(by_label) do
    save_label(label)
    call('HINCRBY', pool .. 'count:samples', label, count)
    call('HINCRBY', epoch .. 'samples', label, count)
  end
  return replies
end
