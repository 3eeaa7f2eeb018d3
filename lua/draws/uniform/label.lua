-- label: a label's part of the tasks, and any task of it, for draws under quotas (_sampling/quotas.py).
-- Needs: call, pool, all_count, task_at, index
-- Gives: label_part, member_of
local MOST_LISTED, MEMBER_TRIALS = 1000, 1024
local listed = {}

local function label_part(label)
  return call('HGET', pool .. 'labels', label) / all_count
end

-- Of a small label from a sorted list, of a large one by trials.
local function member_of(label)
  local ids = listed[label]
  if not ids and tonumber(call('HGET', pool .. 'labels', label)) <= MOST_LISTED then
    ids = call('SMEMBERS', pool .. 'label:' .. label)
    table.sort(ids)
    listed[label] = ids
  end
  if ids then
    return ids[1 + index(#ids)]
  end
  for _ = 1, MEMBER_TRIALS do
    local id = task_at(index(all_count))
    if call('HGET', pool .. 'task:' .. id, 'label') == label then
      return id
    end
  end
end
